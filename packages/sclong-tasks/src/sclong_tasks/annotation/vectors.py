"""Vectors of the cells of a file: those that it holds, or made by a model."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Unpack

import anndata
import numpy as np
import numpy.typing as npt

from sclong_core.checkpoint import resolve_checkpoint
from sclong_core.embedding.pooling import Pool, chosen_pool
from sclong_core.errors import InputError
from sclong_core.expression import ReadingOptions
from sclong_core.expression.species import cells_of_organism
from sclong_core.manifest import read_checkpoint_info
from sclong_core.model import ScLong

_LOG = logging.getLogger("sclong")
OWN_KEY = "X_sclong"


@dataclass(frozen=True, eq=False)
class CellVectors:
    """Vectors, and what made them."""

    vectors: npt.NDArray[Any]
    """``(cells, width)``."""
    encoder: str
    """Digest of the model and its rule for cells; empty where the file does not say."""
    new: bool = False
    """They were made now, and are not in the file."""


class Embedder:
    """Makes vectors with one model, which is loaded when it is first needed.

    Args:
        checkpoint: folder or hub id; the model that comes with the package if None.
        pool: rule from genes to cells; the model's own if None, and then vectors of any rule that
            a file holds are used.
        batch_size: cells at a time.
        device: to compute on.
        progress: draw a progress bar.
        **reading: how cells are read, see :class:`sclong_core.expression.ReadingOptions`.
    """

    def __init__(  # settings of a user, each by its name
        self,
        checkpoint: str | None = None,
        *,
        pool: Pool | None = None,
        batch_size: int = 32,
        device: str = "auto",
        progress: bool = False,
        **reading: Unpack[ReadingOptions],
    ) -> None:
        self._folder = resolve_checkpoint(checkpoint)
        self._digest = read_checkpoint_info(self._folder).digest
        self._batch_size, self._device, self._progress = batch_size, device, progress
        self._pool, self._reading = pool, reading
        self._model: ScLong | None = None

    @property
    def model(self) -> ScLong:
        """The model, loaded when it is first asked for."""
        if self._model is None:
            self._model = ScLong.from_pretrained(self._folder, device=self._device)
        return self._model

    def vectors_of(self, adata: anndata.AnnData, path: Path) -> CellVectors:
        """Vectors of all cells: those in the file if this model made them.

        Raises:
            InputError: the cells cannot be used.
        """
        noted = recorded_encoder(adata, OWN_KEY) or ""
        digest, _, pool = noted.partition(" ")
        ours = digest == self._digest and pool and self._pool in (None, pool)
        if ours and OWN_KEY in adata.obsm:
            _LOG.info("%s: obsm[%r] was made by this model and is used", path.name, OWN_KEY)
            return CellVectors(np.asarray(adata.obsm[OWN_KEY]), noted)
        _LOG.info("%s: embedding %s cells", path.name, f"{adata.n_obs:,}")
        found = self.model.embed(
            adata,
            pool=self._pool,
            batch_size=self._batch_size,
            progress=self._progress,
            **self._reading,
        )
        return CellVectors(found, f"{self._digest} {chosen_pool(self.model, self._pool)}", new=True)


def stored_vectors(adata: anndata.AnnData, key: str, path: Path) -> CellVectors:
    """Vectors that a file holds.

    Raises:
        InputError: it holds none of that name.
    """
    if key not in adata.obsm:
        raise InputError(
            f"{path} has no obsm[{key!r}]: it has {', '.join(map(str, adata.obsm)) or 'none'}"
        )
    stored = adata.obsm[key]
    values = np.asarray(stored.toarray() if hasattr(stored, "toarray") else stored)
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path}: obsm[{key!r}] holds no numbers")
    encoder = recorded_encoder(adata, key)
    if encoder is None:
        _LOG.warning("%s does not say what made obsm[%r]: that is not checked", path.name, key)
    return CellVectors(values, encoder or "")


def require_same_encoder(query: CellVectors, encoder: str) -> None:
    """Refuse vectors of another model than those of the reference.

    Raises:
        InputError: both say what made them, and that differs.
    """
    if query.encoder and encoder and query.encoder != encoder:
        raise InputError(
            f"the query was embedded by {_shown(query.encoder)}, the reference by "
            f"{_shown(encoder)}: embed both with one model"
        )


def require_same_organism(query: anndata.AnnData, reference: anndata.AnnData) -> None:
    """Refuse cells of another species than those of the reference, as ``obs`` of both notes it.

    Raises:
        InputError: both say of which species they are, and that differs.
    """
    for species in ("human", "mouse"):
        found = [cells_of_organism(one.obs, species) for one in (query, reference)]
        if all(one is not None for one in found) and len({bool(one.any()) for one in found}) > 1:  # type: ignore[union-attr]  # looked at before
            raise InputError(
                f"query and reference are of different organisms: obs of only one of them says "
                f"{species}. Map genes to orthologs, and embed both with one model"
            )


def keep_vectors(adata: anndata.AnnData, found: CellVectors) -> None:
    """Put vectors that were made now into ``obsm``, with what made them, to be used again."""
    if not found.new:
        return
    if OWN_KEY in adata.obsm:
        _LOG.info("obsm[%r] of another origin is kept; the new vectors are not stored", OWN_KEY)
        return
    digest, _, pool = found.encoder.partition(" ")
    adata.obsm[OWN_KEY] = found.vectors
    notes = adata.uns.get("sclong")
    record = {
        "sclong_version": version("sclong-core"),
        "checkpoint": {"digest": digest},
        "pool": pool,
    }
    adata.uns["sclong"] = {**(notes if isinstance(notes, Mapping) else {}), OWN_KEY: record}


def recorded_encoder(adata: anndata.AnnData, key: str) -> str | None:
    """What made an embedding, as ``sclong embed`` notes it; None if nothing is noted."""
    notes = adata.uns.get("sclong")
    record = notes.get(key) if isinstance(notes, Mapping) else None
    if not isinstance(record, Mapping):
        return None
    for part, rule in (("checkpoint", record.get("pool")), ("encoder", "")):
        about = record.get(part)
        if isinstance(about, Mapping) and "digest" in about:
            return f"{about['digest']} {rule}".strip()
    return None


def _shown(encoder: str) -> str:
    digest, _, rule = encoder.partition(" ")
    return f"{digest[:12]} ({rule})" if rule else digest[:12]
