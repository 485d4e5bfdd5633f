"""A checkpoint and a file of cells: scale, genes, pools, and the command to use."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd

import sclong_core
from sclong_core.checkpoint import read_checkpoint_info, resolve_checkpoint, save_checkpoint
from sclong_core.doctor.pools import (
    COMPONENTS,
    PoolScore,
    chance_of_types,
    pool_vectors,
    score_pools,
)
from sclong_core.doctor.scales import (
    InputScale,
    Sample,
    ScaleScore,
    known_scales,
    recognised,
    sample_cells,
    sample_deepest,
    score_scales,
)
from sclong_core.embedding.inference import vocabulary_of
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import PreparedCells, ReadingOptions, prepare_cells
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress

_LOG = logging.getLogger("sclong")
RECORD = "sclong_doctor"
"""Of ``uns``."""
_FEWEST = 10
_LEAST = 0.95
_POOR = 0.5
_PARTIAL = 0.25
_USUAL = {"normalisation": "auto", "duplicates": "error", "organism": "human"}
_SHALLOW = 0.15
"""Counts of a cell for each gene of the model, below which cells contradict no checkpoint."""


@dataclass(frozen=True)
class Diagnosis:
    """What real cells say of a checkpoint."""

    own: InputScale
    """The scale that the checkpoint names."""
    scale: InputScale | None
    """The scale of its weights; None where that cannot be told."""
    partial: bool
    """The cells are counts of few genes: what a cell sums to is not that of all its genes, so
    that another scale than the checkpoint's is not believed."""
    depth: float
    """Median counts of the cells that the scale was told from."""
    shallow: bool
    """They are too few for another scale than the checkpoint's to be believed."""
    scales: tuple[ScaleScore, ...]
    """Every scale that was tried, the best first."""
    genes: int
    """Of the data."""
    matched: int
    """Of them that the model knows."""
    by_other_name: int
    """Of those that are known by an earlier symbol or an alias."""
    counts: float
    """Share of counts on genes that the model knows."""
    counts_by_other_name: float
    """Share of counts on those known by another name."""
    pools: tuple[PoolScore, ...]
    """Every pool, if types or batches are known; the last is not one of the model."""
    chance: float
    """What the commonest type alone would score; NaN without types."""
    pool: str | None
    """The pool to use: the best beyond chance; None for the model's own rule."""

    @property
    def agrees(self) -> bool:
        """Whether the weights were trained on the scale that the checkpoint names."""
        return self.scale is not None and self.scale.input == self.own.input


def diagnose(  # noqa: PLR0913  # settings of a user, each by its name
    model: ScLong,
    cells: "anndata.AnnData | str | PathLike[str]",
    *,
    by: str | None = None,
    batch: str | None = None,
    scale_cells: int = 64,
    pool_cells: int = 300,
    batch_size: int = 8,
    progress: bool = False,
    reading: ReadingOptions | None = None,
) -> Diagnosis:
    """Examine a model with real cells.

    Args:
        model: to examine.
        cells: AnnData, or the path of a file of cells.
        by: column of ``obs`` with types: which pool keeps them is measured.
        batch: column of ``obs`` with batches: which pool mixes them is measured.
        scale_cells: cells that the scale is told from.
        pool_cells: cells that pools are compared on.
        batch_size: cells at a time.
        progress: draw progress bars.
        reading: how cells are read.

    Raises:
        InputError: the cells cannot be used, are too few, or a column is missing.
        ConfigError: a number is not positive.
    """
    if min(scale_cells, pool_cells, batch_size) < 1:
        raise ConfigError("numbers of cells must be positive")
    vocabulary = vocabulary_of(model)
    options: dict[str, Any] = {"allow_poor_match": True, **(reading or {})}
    with prepare_cells(cells, vocabulary, model.config.input, **options) as prepared:
        if len(prepared) < _FEWEST:
            raise InputError(
                f"{prepared.source.name} has {len(prepared)} cells: give at least {_FEWEST} to "
                "tell a scale from"
            )
        columns = [_column(prepared, name) for name in (by, batch)]
        told = _told_scale(model, prepared, scale_cells, batch_size=batch_size, progress=progress)
        own, scale, sample, scores = told
        depth = float(np.median(sample.depths))
        partial = _is_partial(prepared)
        shallow = depth < _SHALLOW * prepared.match.vocabulary_genes
        if scale is not None and scale.input != model.config.input and (partial or shallow):
            scale = None
        rows = _rows_of(columns, len(prepared), prepared.source.name)
        pools = _pools(model, prepared, (columns, rows), pool_cells, scale, (batch_size, progress))
        return Diagnosis(
            own, scale, partial, depth, shallow, tuple(scores),
            prepared.survey.genes, prepared.survey.matched,
            len(prepared.match.by_other_name), prepared.survey.share_of_counts_matched,
            _counts_by_other_name(prepared, scale_cells), pools,
            float("nan") if columns[0] is None else chance_of_types(columns[0][rows]),
            _chosen_pool(pools),
        )  # fmt: skip


def doctor(
    adata: anndata.AnnData,
    checkpoint: str | PathLike[str] | None = None,
    *,
    device: str = "auto",
    copy: bool = False,
    **options: Any,
) -> anndata.AnnData | None:
    """Examine a checkpoint with the cells of an AnnData object; adds ``uns["sclong_doctor"]``.

    Args:
        adata: counts, or log1p values of a common sum.
        checkpoint: folder or hub id; the model that comes with the package if None.
        device: to compute on.
        copy: return a copy and leave ``adata`` as it is.
        **options: see :func:`diagnose`.

    Returns:
        The copy, or None.

    Raises:
        InputError: see :func:`diagnose`.
        CheckpointError: the checkpoint is missing or damaged.
    """
    folder = resolve_checkpoint(checkpoint)
    model = ScLong.from_pretrained(folder, device=device)
    found = diagnose(model, adata, **options)
    written = adata.copy() if copy else adata
    written.uns[RECORD] = {
        "sclong_version": sclong_core.__version__,
        "checkpoint": read_checkpoint_info(folder).digest,
        "declared_scale": found.own.name,
        "recognised_scale": "" if found.scale is None else found.scale.name,
        "scales": pd.DataFrame(
            {
                "scale": [one.scale.name for one in found.scales],
                "r2": [one.r2 for one in found.scales],
                "best": [one.best for one in found.scales],
            }
        ),
        "pools": pd.DataFrame([asdict(one) for one in found.pools]),
        "pool": found.pool or "",
        "genes_matched": found.matched,
        "genes_by_other_name": found.by_other_name,
        "share_of_counts_matched": found.counts,
        "share_of_counts_by_other_name": found.counts_by_other_name,
    }
    return written if copy else None


def embed_command(
    found: Diagnosis,
    cells: Path,
    checkpoint: str | None,
    *,
    reading: ReadingOptions | None = None,
) -> str:
    """The command that embeds the cells as the diagnosis advises, reading them alike."""
    words = ["sclong", "embed", str(cells), "-o", f"{cells.stem}.embedded.h5ad"]
    given: dict[str, Any] = {"checkpoint": checkpoint, "pool": found.pool, **(reading or {})}
    given["allow_poor_match"] = found.counts < _POOR
    for name, value in given.items():
        if value is None or value is False or value == _USUAL.get(name):
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(value if isinstance(value, str) else ",".join(value))
    return shlex.join(words)


def save_rescaled(
    model: ScLong, found: Diagnosis, folder: Path, *, source: str, overwrite: bool = False
) -> None:
    """Write the checkpoint again with the scale that its weights were trained on.

    Raises:
        InputError: the folder exists and ``overwrite`` is false.
        ConfigError: the scale is not known, or no checkpoint can name it.
    """
    if found.scale is None or found.scale.input is None:
        raise ConfigError("no scale that a checkpoint can name was recognised: nothing is written")
    model.config = replace(model.config, input=found.scale.input)
    origin = {"kind": "sclong doctor", "of": source, "input_was": found.own.name}
    save_checkpoint(model, folder, origin=origin, overwrite=overwrite)


def _told_scale(
    model: ScLong, cells: PreparedCells, number: int, *, batch_size: int, progress: bool
) -> tuple[InputScale, InputScale | None, Sample, list[ScaleScore]]:
    """The checkpoint's scale, that of its weights, and the cells and scores that tell it.

    Another scale than the checkpoint's must also be told by the deepest cells.
    """
    scales = known_scales(model.config.input)
    sample, scores = sample_cells(cells, number), []
    for last in (False, True):
        total = len(sample.totals) * len(scales)
        with cell_progress("trying scales", total, shown=progress) as advance:
            scores = score_scales(model, sample, scales, batch_size=batch_size, advance=advance)
        scale = recognised(scores, model.config.input)
        agrees = scale is None or scale.input == model.config.input
        if last or agrees or len(sample.totals) == len(cells):
            break
        _LOG.info("another scale fits better than the checkpoint's: trying it on the deepest cells")
        sample = sample_deepest(cells, number)
    return scales[0], scale, sample, scores


def _column(cells: PreparedCells, name: str | None) -> npt.NDArray[np.str_] | None:
    if name is None:
        return None
    if name not in cells.obs:
        listed = ", ".join(map(str, cells.obs.columns)) or "none"
        raise InputError(f"{cells.source.name} has no column {name!r} in obs: it has {listed}")
    values = cells.obs[name].astype(object)
    return np.asarray(values.where(values.notna(), "").astype(str).str.strip(), dtype=str)


def _rows_of(
    columns: Sequence[npt.NDArray[np.str_] | None], cells: int, name: str
) -> npt.NDArray[np.int64]:
    """Cells that have a value in each column that is asked for.

    Raises:
        InputError: they are too few.
    """
    known = np.ones(cells, dtype=bool)
    for column in columns:
        known &= True if column is None else column != ""
    if not known.all():
        _LOG.info("%s: pools are compared without %s cells that have no type or batch",
                  name, f"{(~known).sum():,}")  # fmt: skip
    if known.sum() < _FEWEST:
        raise InputError(
            f"{name}: {known.sum()} cells have a value in the columns of --by and --batch, and "
            f"{_FEWEST} are needed: name other columns"
        )
    return np.flatnonzero(known)


def _is_partial(cells: PreparedCells) -> bool:
    survey = cells.survey
    return survey.normalisation == "raw" and (
        survey.genes < _PARTIAL * cells.match.vocabulary_genes
    )


def _counts_by_other_name(cells: PreparedCells, number: int) -> float:
    """Share of the counts of the first cells on genes that are known by another name."""
    rows = cells.source.read_rows(0, min(number, len(cells)))
    sums = np.asarray(rows.sum(0), dtype=np.float64).ravel()
    other = np.isin(np.asarray(cells.match.names, dtype=object), cells.match.by_other_name)
    return float(sums[other].sum() / max(sums.sum(), 1e-300))


def _pools(
    model: ScLong,
    cells: PreparedCells,
    known: tuple[Sequence[npt.NDArray[np.str_] | None], npt.NDArray[np.int64]],
    number: int,
    scale: InputScale | None,
    how: tuple[int, bool],
) -> tuple[PoolScore, ...]:
    """Pools on some cells, at the scale of the weights where that is told."""
    columns, usable = known
    if all(column is None for column in columns):
        return ()
    places = np.linspace(0, len(usable) - 1, min(number, len(usable))).astype(np.int64)
    rows = usable[np.unique(places)]
    setting = cells.input_config if scale is None or scale.input is None else scale.input
    some = _Rows(replace(cells, input_config=setting), rows)
    with cell_progress("comparing pools", len(rows), shown=how[1]) as advance:
        vectors = pool_vectors(model, some, batch_size=how[0], advance=advance)  # type: ignore[arg-type]  # what it reads of cells
    types, batches = (None if column is None else column[rows] for column in columns)
    return tuple(score_pools(vectors, types, batches))


class _Rows:
    """Some of the cells, as what embeds reads them."""

    def __init__(self, cells: PreparedCells, rows: npt.NDArray[np.int64]) -> None:
        self._cells, self._rows = cells, rows
        self.match = cells.match

    def __len__(self) -> int:
        return len(self._rows)

    def block(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Cells by number."""
        return np.concatenate(
            [self._cells.block(row, row + 1) for row in self._rows[start:stop].tolist()]
        )


def _chosen_pool(pools: Sequence[PoolScore]) -> str | None:
    """The pool of the model that is beyond chance the best: for types, else for batches."""
    own = [one for one in pools if one.pool != COMPONENTS]
    for values in ([one.best_types for one in own], [one.best_mixing for one in own]):
        known = np.array(values, dtype=np.float64)
        if len(known) and np.isfinite(known).all():
            return own[int(known.argmax())].pool if known.max() >= _LEAST else None
    return None
