"""Values that were transformed gene by gene: centred, divided by a spread, weighted, residuals.

What was done to a gene is the same in all cells, which shows where two cells are compared: genes
with equal counts in both differ by one common factor, whatever the weight of each gene is.
"""

import numpy as np
import numpy.typing as npt

from sclong_core.expression.rows import Csr

Floats = npt.NDArray[np.float64]
_CELLS = 64
_PAIRS = 24
_SHARED = 20
_WINDOW = 4e-4
_AT_ONE = 0.08
_DIFFERENT = 0.5
_AT_RATIOS = 0.5
_HIGHEST_COUNT = 8
_LARGEST_LOG = 20.0
_SAME_GENES = 0.5
_SAME = 1e-4
_THETA = 100.0
_AS_COUNTS = "as in TF-IDF or division by the spread of each gene"


def negative_values(rows: Csr) -> str:
    """What gives values of which some are negative, in words that follow "as".

    Args:
        rows: some cells, canonical, of finite values.
    """
    dense = np.asarray(rows[:_CELLS].toarray(), dtype=np.float64)
    dense = dense[:, (dense != 0).any(axis=0)]
    if dense.shape[0] > 2 and dense.shape[1] >= _SHARED:
        lowest = dense.min(axis=0)
        repeated = (np.abs(dense - lowest) <= _SAME * np.maximum(np.abs(lowest), _SAME)).sum(axis=0)
        below = lowest < 0
        if below.mean() > _SAME_GENES and (repeated[below] > 2).mean() > _SAME_GENES:
            return "data scaled and centred gene by gene do (sc.pp.scale, ScaleData)"
        if _are_residuals(dense):
            return "Pearson residuals do (sc.experimental.pp.normalize_pearson_residuals)"
    return "scaled, centred or corrected data and residuals do"


def _are_residuals(dense: Floats) -> bool:
    """Whether those below 0 are ``-mu / sqrt(mu + mu^2 / theta)``, mu a product of cell and gene.

    That is what Pearson residuals of no count are, theta 100 where it is not said otherwise; with
    a theta of each gene it holds for a small mu.
    """
    squares = np.where(dense < 0, dense**2, np.nan)
    squares[squares >= _THETA] = np.nan
    with np.errstate(invalid="ignore"):
        logs = np.log(squares / (1 - squares / _THETA))
    shares = []
    for one, two in _pairs(dense.shape[0]):
        differences = logs[one] - logs[two]
        differences = differences[np.isfinite(differences)]
        if differences.size >= _SHARED:
            shares.append(_densest(differences, 1e-2)[1])
    return bool(shares) and float(np.median(shares)) > _SAME_GENES


def weighted_genes(rows: Csr) -> str | None:
    """What the values are if each gene has a weight of its own; None if that does not show.

    Args:
        rows: some cells, canonical, no value negative.
    """
    dense = np.asarray(rows[:_CELLS].toarray(), dtype=np.float64)
    different = sum(np.unique(cell[cell > 0]).size for cell in dense)
    if different < _DIFFERENT * (dense > 0).sum():
        return None  # genes with one count have one value in a cell: no gene has a weight
    if _has_weights(dense):
        return f"counts multiplied by a weight of each gene, {_AS_COUNTS}"
    if dense.max(initial=0) <= _LARGEST_LOG and _has_weights(np.expm1(dense)):
        return f"log1p of counts multiplied by a weight of each gene, {_AS_COUNTS}"
    if _has_weights(dense, of_counts=False):
        return (
            "log values multiplied by a weight of each gene, as scaling without centring "
            "(sc.pp.scale with zero_center=False) and TF-IDF of logarithms do"
        )
    return None


def _has_weights(linear: Floats, *, of_counts: bool = True) -> bool:
    """Whether genes differ between cells by few factors only.

    Args:
        linear: the cells, after a transform is undone.
        of_counts: the factors are to be ratios of counts mostly; else the commonest is only to be
            another one than 1, which a background common to all cells gives.
    """
    found = _ratios(linear)
    if not found:
        return False
    apart, at_one, at_ratios = np.median(np.array(found), axis=0)
    return bool(at_one >= _AT_ONE and (at_ratios >= _AT_RATIOS if of_counts else apart > _WINDOW))


def _pairs(cells: int) -> list[tuple[int, int]]:
    """Pairs of cells, each next to a further one."""
    return [(number, (number + 1) % cells) for number in range(min(cells - 1, _PAIRS))]


def _ratios(linear: Floats) -> list[tuple[float, float, float]]:
    """What pairs of cells show over the genes that both express.

    Returns:
        Of each pair: how far the commonest factor is from 1, as a logarithm; the share of genes at
        it; and of the other genes the share at a ratio of counts to it.
    """
    numbers = np.arange(1, _HIGHEST_COUNT + 1)
    known = np.unique(np.log(numbers[:, None] / numbers[None]))
    found = []
    for one, two in _pairs(linear.shape[0]):
        shared = (linear[one] > 0) & (linear[two] > 0)
        if shared.sum() < _SHARED:
            continue
        logs = np.log(linear[one, shared] / linear[two, shared])
        middle, share = _densest(logs, _WINDOW)
        others = logs[np.abs(logs - middle) > _WINDOW] - middle
        near = np.abs(others[:, None] - known[None]).min(axis=1, initial=np.inf) <= _WINDOW
        found.append((abs(middle), share, float(near.mean()) if near.size else 0.0))
    return found


def _densest(values: Floats, width: float) -> tuple[float, float]:
    """The middle of the window that holds most values, and their share."""
    ordered = np.sort(values)
    ends = np.searchsorted(ordered, ordered + width, side="right")
    held = ends - np.arange(ordered.size)
    first = int(np.argmax(held))
    return float(ordered[first : ends[first]].mean()), float(held[first] / ordered.size)
