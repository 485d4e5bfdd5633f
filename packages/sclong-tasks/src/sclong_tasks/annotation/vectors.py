"""Vectors of the cells of a file: those that it holds, or made by a model."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Unpack, cast, get_args

import anndata
import numpy as np
import numpy.typing as npt

from sclong_core.checkpoint import resolve_checkpoint
from sclong_core.devices import find_device
from sclong_core.embedding.inference import embed_cells, refuse_alike, vocabulary_of
from sclong_core.embedding.pooling import Pool, chosen_pool, pool_width
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import (
    CellSource,
    PreparedCells,
    ReadingOptions,
    prepare_cells,
    source_from_anndata,
)
from sclong_core.expression.species import cells_of_organism
from sclong_core.manifest import read_checkpoint_info
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress

_LOG = logging.getLogger("sclong")
OWN_KEY = "X_sclong"
_USUAL: dict[str, Any] = {"normalisation": "auto", "duplicates": "error", "organism": "human"}
_ALLOWING = ("allow_other_species", "allow_poor_match")
"""They decide whether cells are taken, not what their vectors are."""


@dataclass(frozen=True, eq=False)
class CellVectors:
    """Vectors, and what made them."""

    vectors: npt.NDArray[Any]
    """``(cells, width)``."""
    encoder: str
    """Digest of the model and its rule for cells; empty where the file does not say."""
    new: bool = False
    """They were made now, and are not in the file."""
    reading: Mapping[str, str] = field(default_factory=dict)
    """How the cells of new ones were read, where that was asked for."""


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
        if batch_size < 1:
            raise ConfigError(f"batch_size must be a positive integer, not {batch_size}")
        find_device(device)
        self._folder = resolve_checkpoint(checkpoint)
        self._info = read_checkpoint_info(self._folder)
        self._batch_size, self._device, self._progress = batch_size, device, progress
        self._pool, self._reading = pool, reading
        self._asked = _asked_reading(reading)
        self._model: ScLong | None = None

    @property
    def model(self) -> ScLong:
        """The model, loaded when it is first asked for."""
        if self._model is None:
            self._model = ScLong.from_pretrained(self._folder, device=self._device)
        return self._model

    @property
    def digest(self) -> str:
        """Of the checkpoint."""
        return self._info.digest

    def prepare(self, adata: anndata.AnnData, path: Path) -> PreparedCells:
        """The cells as this model reads them; to be closed.

        Raises:
            InputError: the cells cannot be used.
        """
        return cells_for(self.model, adata, path, self._reading)

    def vectors_of(
        self, adata: anndata.AnnData, path: Path, prepared: PreparedCells | None = None
    ) -> CellVectors:
        """Vectors of all cells: those in the file if this model made them as is asked for.

        Args:
            adata: the cells.
            path: of their file, for messages.
            prepared: what :meth:`prepare` made of them, if it is at hand.

        Raises:
            InputError: the cells cannot be used.
        """
        held = self._held(adata, path)
        if held is not None:
            return held
        _LOG.info("%s: embedding %s cells", path.name, f"{adata.n_obs:,}")
        pool = chosen_pool(self.model, self._pool)
        if prepared is None:
            source, how = _source(adata, path, self._reading)
            found = self.model.embed(
                source, pool=pool, batch_size=self._batch_size, progress=self._progress, **how
            )
        else:
            found = self._embedded(prepared, pool)
        encoder = f"{self._info.digest} {pool}"
        return CellVectors(found, encoder, new=True, reading=self._asked)

    def _embedded(self, cells: PreparedCells, pool: Pool) -> npt.NDArray[np.float32]:
        with cell_progress("embedding", len(cells), shown=self._progress) as advance:
            found = embed_cells(
                self.model, cells, pool=pool, batch_size=self._batch_size, advance=advance
            )
        if not self._reading.get("allow_poor_match", False):
            refuse_alike(cells.source.name, [found])
        return found

    def _held(self, adata: anndata.AnnData, path: Path) -> CellVectors | None:
        """Vectors of this model that the file holds; None where new ones are to be made.

        Raises:
            InputError: they are not what this model makes.
        """
        noted = recorded_encoder(adata, OWN_KEY) or ""
        digest, _, pool = noted.partition(" ")
        ours = digest == self._info.digest and pool in get_args(Pool)
        if not ours or OWN_KEY not in adata.obsm or self._pool not in (None, pool):
            return None
        work = adata.uns["sclong"][OWN_KEY].get("work")
        told = work if isinstance(work, Mapping) else {}
        other = [name for name, value in self._asked.items() if told.get(name) != value]
        if other:
            _LOG.info(
                "%s: obsm[%r] was not made with %s: it is not used", path.name, OWN_KEY,
                " and ".join(f"{name}={self._asked[name]}" for name in other),
            )  # fmt: skip
            return None
        values = _numbers(adata.obsm[OWN_KEY], OWN_KEY, path)
        width = pool_width(self._info, pool)  # type: ignore[arg-type]  # looked at above
        if values.ndim != 2 or values.shape[1] != width or not np.isfinite(values).all():
            raise InputError(
                f"{path}: obsm[{OWN_KEY!r}] is not what this model makes, which is {width} finite "
                "numbers a cell: it was changed since. Remove it to embed the cells again"
            )
        _LOG.info("%s: obsm[%r] was made by this model and is used", path.name, OWN_KEY)
        return CellVectors(values, noted)


def cells_for(
    model: ScLong, adata: anndata.AnnData, path: Path, reading: ReadingOptions
) -> PreparedCells:
    """Cells as a model reads them; to be closed.

    Args:
        model: that they are for.
        adata: the cells.
        path: of their file, for messages.
        reading: how they are read.

    Raises:
        InputError: the cells cannot be used.
    """
    source, how = _source(adata, path, reading)
    return prepare_cells(source, vocabulary_of(model), model.config.input, **how)


def _source(
    adata: anndata.AnnData, path: Path, reading: ReadingOptions
) -> tuple[CellSource, ReadingOptions]:
    """The matrix that is asked for, under the name of its file, and what is left to be asked."""
    matrix, types = reading.get("matrix"), reading.get("feature_types")
    found = source_from_anndata(adata, matrix=matrix, feature_types=types, name=str(path))
    how = {name: one for name, one in reading.items() if name not in ("matrix", "feature_types")}
    return found, cast("ReadingOptions", how)


def _asked_reading(reading: ReadingOptions) -> dict[str, str]:
    """What was asked for beside what is usual, as :mod:`sclong_core.embedding.jobs` notes it."""
    found = {}
    for name, value in reading.items():
        if value is None or name in _ALLOWING or value == _USUAL.get(name):
            continue
        found[name] = value if isinstance(value, str) else ", ".join(sorted(value))  # type: ignore[call-overload]  # feature types
    return found


def _numbers(stored: Any, key: str, path: Path) -> npt.NDArray[Any]:
    """What ``obsm`` holds as an array, from a sparse matrix or a table, too."""
    values = np.asarray(stored.toarray() if hasattr(stored, "toarray") else stored)
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path}: obsm[{key!r}] holds no numbers")
    return values


def stored_vectors(adata: anndata.AnnData, key: str, path: Path) -> CellVectors:
    """Vectors that a file holds.

    Raises:
        InputError: it holds none of that name.
    """
    if key not in adata.obsm:
        raise InputError(
            f"{path} has no obsm[{key!r}]: it has {', '.join(map(str, adata.obsm)) or 'none'}"
        )
    values = _numbers(adata.obsm[key], key, path)
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
        "work": dict(found.reading),
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
