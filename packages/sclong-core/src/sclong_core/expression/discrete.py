"""Whole numbers that are not counts: expression bins and rounded logarithms."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sclong_core.expression.rows import Csr, filled

_CELLS = 128
_FEWEST_BINNED = 3
_GENES = 30
_MANY_BINNED = 30
_WITHOUT_ONES = 0.2
_SEVERAL_BINS = 6
_MOST_BINNED = 0.95
_TOP = 0.5
_NEAR_TOP = 3
_FEWEST_CELLS = 12
_SEVERAL_CELLS = 32
_FEWEST_GENES = 10
_COMMON = 1.0
_NARROW = 0.5
_SHARE = 0.15
_SHARE_OF_FEW = 0.5
_HIGHEST_LOG = 30.0
_HIGHEST_ROUNDED = 9


@dataclass
class WholeCells:
    """The first cells of whole numbers, and what tells them from counts.

    Counts are sums of rare events: over cells, those of a gene vary at least as much as a Poisson
    variable does, and few genes of a cell come near its largest count. Of about 7,000 genes with a
    mean above 1 in 29 sets of real counts, none varied less than half as much as that.
    """

    _kept: list[Csr] = field(default_factory=list)
    _cells: int = 0

    def add(self, rows: Csr) -> None:
        """Note more cells, canonical rows of whole numbers."""
        wanted = _CELLS - self._cells
        if wanted > 0 and rows.shape[0]:
            self._kept.append(rows[:wanted])
            self._cells += min(wanted, rows.shape[0])

    def other_than_counts(self) -> str | None:
        """What the cells hold instead of counts, in words that follow "holds"; None for counts."""
        if not self._kept:
            return None
        rows = sparse.vstack(self._kept, format="csr")
        rows.data = np.rint(rows.data)  # sums of float32 are whole but for their error
        return _bins(rows) or _no_ones(rows) or _too_even(rows)


def _bins(rows: Csr) -> str | None:
    """Bins of equal size: every cell has the same highest one, and the last ones hold many genes.

    The last ones are two, or a tenth of all.
    """
    _, starts = filled(rows)
    sizes = np.diff(np.append(starts, rows.nnz))
    top = np.maximum.reduceat(rows.data, starts)
    last = np.repeat(np.minimum(top - 1, 0.9 * top), sizes)
    near_top = np.add.reduceat(rows.data >= last, starts)
    judged = sizes >= _GENES
    highest = float(np.median(top[judged])) if judged.any() else 0.0
    if judged.sum() < (_FEWEST_BINNED if highest >= _SEVERAL_BINS else _MANY_BINNED):
        return None
    least = np.maximum(_NEAR_TOP, _TOP * max(0.1, 1 / max(highest, 1)) * sizes)
    full = (near_top >= least) & (top == highest)
    if highest <= 2 or full[judged].mean() < _MOST_BINNED:
        return None
    name = "expression bins" if highest > _HIGHEST_ROUNDED else "bins or rounded logarithms"
    return (
        f"{name} (whole numbers of which the highest is {highest:,.0f} in every cell, "
        "and held by many genes), not counts"
    )


def _no_ones(rows: Csr) -> str | None:
    """Cells that express many genes, and none of them once: rounded logarithms of few counts."""
    _, starts = filled(rows)
    judged = np.diff(np.append(starts, rows.nnz)) >= _GENES
    highest = float(rows.data.max())
    if judged.sum() < _FEWEST_BINNED or highest > _HIGHEST_LOG:
        return None
    without = np.minimum.reduceat(rows.data, starts)[judged] > 1
    if without.mean() < _WITHOUT_ONES:
        return None
    return (
        f"whole numbers up to {highest:,.0f} without a single 1 in {without.mean():.0%} of the "
        "cells, as rounded logarithms do"
    )


def _too_even(rows: Csr) -> str | None:
    """Genes that vary less over cells than any counts do."""
    if rows.shape[0] < _FEWEST_CELLS:
        return None
    mean, variance = _moments(rows)
    highest = float(rows.data.max())
    common = mean >= _COMMON
    if common.sum() < _FEWEST_GENES or highest == 1:  # whether a gene is present counts as counts
        return None
    narrow = variance[common] < _NARROW * mean[common]
    if narrow.mean() < (_SHARE if rows.shape[0] >= _SEVERAL_CELLS else _SHARE_OF_FEW):
        return None
    rounded = "rounded logarithms do" if highest < _HIGHEST_LOG else "bins or smoothed values do"
    return (
        f"whole numbers up to {highest:,.0f} that vary less from cell to cell than counts can "
        f"({narrow.mean():.0%} of the genes with a mean above {_COMMON:g}), as {rounded}"
    )


def _moments(rows: Csr) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and variance of each gene."""
    cells, genes = rows.shape
    mean = np.bincount(rows.indices, weights=rows.data, minlength=genes) / cells
    square = np.bincount(rows.indices, weights=rows.data**2, minlength=genes) / cells
    variance = np.maximum(square - mean**2, 0) * cells / (cells - 1)
    return np.asarray(mean), np.asarray(variance)
