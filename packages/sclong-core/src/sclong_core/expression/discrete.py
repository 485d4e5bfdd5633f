"""Whole numbers that are not counts: presence, bins, rounded logarithms, rounded scaled counts."""

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
_HIGHEST_BIN = 255.0
_MANY_GENES = 100
_MOSTLY_WITHOUT_ONES = 0.5
_FEWEST_SAME_TOP = 8
_ENOUGH_REPEATS = 20.0
_TOO_FEW_REPEATS = 0.25
_SAME_SUM = 0.05
_OF_ONE_DEPTH = 0.5
_DEVIATIONS = 4.5


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
        return (
            _presence(rows)
            or _bins(rows)
            or _one_top(rows)
            or _no_ones(rows)
            or _too_even(rows)
            or _rounded_sums(rows)
        )


def _presence(rows: Csr) -> str | None:
    """Ones alone, or nearly so, where genes are found so often that counts would repeat.

    Two molecules of a cell are of one gene at least as often as one of this cell and one of
    another, and at least as often as if all genes were equally common. In 40 sets of real counts
    one and a half to three times as many values lie above 1 as the larger of both bounds says.
    """
    cells, genes = rows.shape
    sizes = np.diff(rows.indptr).astype(np.float64)
    found = np.bincount(rows.indices, minlength=genes).astype(np.float64)
    of_genes = float((found * (found - 1)).sum()) / (2 * (cells - 1)) if cells > 1 else 0.0
    expected = max(of_genes, float((sizes * (sizes - 1)).sum()) / (2 * genes))
    several = int((rows.data > 1).sum())
    if expected < _ENOUGH_REPEATS or several >= _TOO_FEW_REPEATS * expected:
        return None
    if not several:
        return (
            f"the value 1 alone where counts would hold {expected:,.0f} values above 1 at the "
            "least, as presence and absence do"
        )
    return (
        f"{several:,} values above 1 where counts would hold {expected:,.0f} at the least, as "
        "presence, bins or rounded values do"
    )


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


def _one_top(rows: Csr) -> str | None:
    """Parts of the highest value of each cell, or values that were cut off at a highest one."""
    _, starts = filled(rows)
    top = np.maximum.reduceat(rows.data, starts)[np.diff(np.append(starts, rows.nnz)) >= _GENES]
    if top.size < _FEWEST_SAME_TOP:
        return None
    highest = float(np.median(top))
    if highest <= _HIGHEST_ROUNDED or (top == highest).mean() < _MOST_BINNED:
        return None
    return (
        f"whole numbers of which the highest is {highest:,.0f} in every cell, as expression bins "
        "and values that were cut off have, not counts"
    )


def _no_ones(rows: Csr) -> str | None:
    """Cells that express many genes, and none of them once: few counts, scaled and rounded."""
    _, starts = filled(rows)
    sizes = np.diff(np.append(starts, rows.nnz))
    highest = float(rows.data.max())
    judged = sizes >= (_GENES if highest <= _HIGHEST_BIN else _MANY_GENES)
    if judged.sum() < _FEWEST_BINNED:
        return None
    without = np.minimum.reduceat(rows.data, starts)[judged] > 1
    if without.mean() < (_WITHOUT_ONES if highest <= _HIGHEST_LOG else _MOSTLY_WITHOUT_ONES):
        return None
    kind = "logarithms" if highest <= _HIGHEST_LOG else "bins, logarithms or scaled counts"
    return (
        f"whole numbers up to {highest:,.0f} without a single 1 in {without.mean():.0%} of the "
        f"cells, as rounded {kind} do"
    )


def _rounded_sums(rows: Csr) -> str | None:
    """Sums of cells that agree better than sums of counts can, but for the error of rounding.

    Cells drawn to one depth have exactly one sum, and are counts.
    """
    if rows.shape[0] < _FEWEST_CELLS:
        return None
    _, starts = filled(rows)
    sizes = np.diff(np.append(starts, rows.nnz))
    sums = np.add.reduceat(rows.data, starts)
    _, repeated = np.unique(sums, return_counts=True)
    if repeated.max() > _OF_ONE_DEPTH * sums.size:
        return None
    by_chance = 1 - _DEVIATIONS * np.sqrt(2 / (sums.size - 1))
    for cut in (0.0, 0.5, -0.5):  # to the nearest, down, up
        exact = sums + cut * sizes
        least = max(_SAME_SUM, by_chance) if cut == 0 else _SAME_SUM
        if exact.var() < least * exact.mean():
            return (
                f"whole numbers that sum to about {np.median(exact):,.0f} in every cell, as "
                "rounded CPM, TPM and other scaled counts do"
            )
    return None


def _too_even(rows: Csr) -> str | None:
    """Genes that vary less over cells than any counts do."""
    if rows.shape[0] < _FEWEST_CELLS:
        return None
    mean, variance = _moments(rows)
    highest = float(rows.data.max())
    common = mean >= _COMMON
    if common.sum() < _FEWEST_GENES or highest == 1:
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
