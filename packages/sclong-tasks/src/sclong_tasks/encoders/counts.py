"""Raw counts of cells: what published models were trained on.

Files and AnnData objects are checked and recognised as for scLong. log1p values of scaled counts
are turned back into counts only where each value of a cell is a whole multiple of one unit, as
log1p of its scaled counts is. A factor that all counts of a cell share cannot be seen in them: it
is taken as 1, which is reported, and cells of so few genes that there may be one are named.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from sclong_core.errors import InputError
from sclong_core.expression import CellSource, Normalisation, open_cells, source_from_anndata
from sclong_core.expression.normalisation import exact_counts, refuse_empty, refuse_impossible
from sclong_core.expression.recognition import Evidence
from sclong_core.expression.rows import Csr, canonical, cells_at_once, filled, row_index
from sclong_core.expression.surveys import Asked, Progress
from sclong_core.expression.units import LOG1P, find_units
from sclong_tasks.encoders.protocol import ExpressionTable

_LOG = logging.getLogger("sclong")
_EXACT = 0.25
"""Largest distance from a multiple of the unit, in units, that is put down to float32."""
_FEW = 10
"""Genes of a cell below which all its counts may well share a factor."""
_SHARED = "up to a factor that all counts of a cell share"
_ADVICE = "give raw counts (--matrix names a layer that holds them)"
Cells: TypeAlias = AnnData | CellSource | str | PathLike[str]


@dataclass(frozen=True)
class CountedCells:
    """Cells whose counts can be read in runs. A context manager: leaving it closes the file."""

    source: CellSource
    """Where they are."""
    kind: Normalisation
    """What the values are."""
    forced: bool = False
    """The kind was asked for instead of recognised."""

    def __len__(self) -> int:
        """Number of cells."""
        return self.source.n_cells

    @property
    def names(self) -> tuple[str, ...]:
        """Of the cells."""
        return tuple(str(name) for name in self.source.obs.index)

    @property
    def var(self) -> pd.DataFrame:
        """Annotation of the genes."""
        return self.source.var

    def counts(self, start: int, stop: int) -> Csr:
        """Counts of cells ``start`` to ``stop``, exclusive: ``(cells, genes)`` float64.

        Raises:
            InputError: the file is damaged, or log1p of a cell cannot be undone.
        """
        rows = canonical(self.source.read_rows(start, stop))
        if self.kind == "raw":
            return exact_counts(rows)[0]
        counts, exact = undo_log1p(rows)
        wrong = np.flatnonzero(~exact)
        if wrong.size and not self.forced:
            cell = self.names[start + int(wrong[0])]
            raise InputError(
                f"{self.source.name}: {self.source.matrix} holds log1p values from which the "
                f"counts of cell {cell!r} do not follow exactly: {_ADVICE}"
            )
        return counts

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_counts(
    cells: Cells,
    *,
    matrix: str | None = None,
    normalisation: Asked = "auto",
    feature_types: Collection[str] | None = None,
    ratios: bool = False,
    progress: Progress | None = None,
) -> CountedCells:
    """Open cells, check all values, and recognise whether they are counts.

    Args:
        cells: a file, an AnnData object, or an open source.
        matrix: the matrix to read; by default X.
        normalisation: "raw" takes the values as they are; "log1p" undoes the logarithm even where
            counts do not follow exactly.
        feature_types: types of features that are genes; the usual ones by default.
        ratios: only the ratios of a cell's counts matter, so that a factor they share does not.
        progress: told how far the pass over all cells is.

    Raises:
        InputError: the values are not counts, and do not lead back to counts.
    """
    source = _source(cells, matrix, feature_types)
    try:
        kind, small, first = _survey(source, normalisation, progress)
        if kind == "log1p" and small and not ratios:
            _LOG.warning(
                "%s: %s of %s cells express fewer than %s genes (the first is %r): a factor that "
                "all their counts share cannot be seen in log1p values and is taken as 1, on which "
                "their vectors depend; %s",
                source.name,
                f"{small:,}",
                f"{source.n_cells:,}",
                _FEW,
                first,
                _ADVICE,
            )
    except BaseException:
        source.close()
        raise
    return CountedCells(source, kind, normalisation != "auto")


def counts_of_table(expression: ExpressionTable) -> tuple[Csr, str]:
    """Counts of a table of expression, and what was done to the values, in words.

    Bulk expression has none: transcripts per million are taken in their place.
    """
    values = canonical(expression.values)
    if expression.scale == "counts":
        return values, "counts"
    if expression.scale == "tpm":
        return values, "transcripts per million in place of counts"
    if expression.scale == "log2":
        values.data = np.expm1(values.data * np.log(2))
        return values, "log2 undone: transcripts per million in place of counts"
    found, exact = undo_log1p(values)
    if exact.all():
        return found, f"log1p undone: counts, {_SHARED}"
    return found, f"log1p undone: {int((~exact).sum())} cells have scaled values in place of counts"


def undo_log1p(rows: Csr) -> tuple[Csr, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    """Counts behind log1p of scaled counts, and for which rows they are whole numbers.

    The smallest value of a cell is taken for 1, 2, 3 or 4 counts, the first that makes whole
    numbers of all: counts that share a factor come without it, because the logarithm of their
    shares is the same. Other rows get ``expm1`` of their values.
    """
    result = rows.copy()
    exact = np.ones(rows.shape[0], dtype=bool)
    kept, starts = filled(rows)
    if not kept.size:
        return result, exact
    possible = np.ones(rows.shape[0], dtype=bool)
    possible[kept] = np.maximum.reduceat(rows.data, starts) <= LOG1P.largest
    units = np.full(rows.shape[0], np.nan)
    units[possible] = find_units(rows[possible], LOG1P).unit
    owner = row_index(rows)
    linear = np.expm1(np.minimum(rows.data, 700.0))
    ratio = linear / units[owner]
    with np.errstate(invalid="ignore"):
        nearest = np.rint(ratio)
        spread = 2e-7 * np.exp(rows.data) * np.maximum(rows.data, 1) / units[owner]
        fits = (np.abs(ratio - nearest) <= _EXACT) & (spread <= _EXACT)
    exact[kept] = np.logical_and.reduceat(fits, starts)
    result.data = np.where(exact[owner], nearest, linear)
    return result, exact


def _survey(
    source: CellSource, asked: Asked, progress: Progress | None
) -> tuple[Normalisation, int, str]:
    """What the values are, how many cells express few genes, and the first of these."""
    small, smallest = 0, ""
    where = f"{source.name}: {source.matrix}"
    names = [str(name) for name in source.obs.index]
    genes = [str(name) for name in source.var.index]
    evidence, empty, first = Evidence(), 0, ""
    step = cells_at_once(source.n_genes)
    for start in range(0, source.n_cells, step):
        stop = min(start + step, source.n_cells)
        rows = canonical(source.read_rows(start, stop))
        refuse_impossible(rows, names[start:stop], genes, where=where, advice=lambda: _ADVICE)
        evidence.add(rows, names[start:stop])
        expressed = np.diff(rows.indptr)
        few = np.flatnonzero(expressed < _FEW)
        if few.size and not small:
            smallest = names[start + int(few[0])]
        small += few.size
        lacking = np.flatnonzero(expressed == 0)
        if lacking.size and not empty:
            first = names[start + int(lacking[0])]
        empty += lacking.size
        if progress is not None:
            progress(stop, source.n_cells)
    if empty:
        refuse_empty(empty, first, where)
    found = evidence.decide(logged=source.logged)
    if asked != "auto":
        if found.normalisation != asked:
            _LOG.warning(
                "%s %s; treated as %s, as requested by --normalisation", where, found.seen, asked
            )
        return asked, small, smallest
    if found.normalisation is None:
        raise InputError(f"{where} {found.seen}: {_ADVICE}")
    undone = f"; the logarithm is undone, counts follow exactly, {_SHARED}"
    _LOG.info("%s %s%s", where, found.seen, undone if found.normalisation == "log1p" else "")
    return found.normalisation, small, smallest


def _source(cells: Cells, matrix: str | None, types: Collection[str] | None) -> CellSource:
    if isinstance(cells, CellSource):
        return cells
    if isinstance(cells, AnnData):
        return source_from_anndata(cells, matrix=matrix, feature_types=types)
    return open_cells(cells, matrix=matrix, feature_types=types)
