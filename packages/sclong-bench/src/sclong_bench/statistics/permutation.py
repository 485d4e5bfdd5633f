"""The permutation test of two means: exact where all divisions of the runs can be gone through."""

import math
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy import stats

from sclong_bench.statistics.sample import Floats
from sclong_bench.statistics.two_sided import TwoSidedTest

_EXACT = 200_000
"""Divisions up to which all are tried."""
_INVERTED = 20_000
"""Divisions up to which the interval is found by inverting the test."""
_DRAWS = 99_999
_STEPS = 60
_FURTHEST = 1e6
"""Ranges of the values after which an end of the interval counts as infinite."""
_TOLERANCE = 1e-12


def permutation_test(x: Floats, y: Floats, *, confidence: float) -> TwoSidedTest:
    """Two-sided test of the difference of means over divisions of all values into two groups."""
    divisions = math.comb(len(x) + len(y), len(x))
    found = stats.permutation_test(
        (x, y),
        _difference,
        vectorized=True,
        n_resamples=np.inf if divisions <= _EXACT else _DRAWS,
        random_state=np.random.default_rng(0),
    )
    note = "" if divisions <= _EXACT else f"{_DRAWS:,} random divisions of {divisions:.1e}"
    if divisions <= _INVERTED:
        low, high = _inverted(x, y, 1 - confidence)
    else:
        low, high = stats.ttest_ind(x, y, equal_var=False).confidence_interval(confidence)
        note = "; ".join(filter(None, [note, "interval by Welch: too many divisions to invert"]))
    difference = float(x.mean() - y.mean())
    return TwoSidedTest(
        "permutation",
        statistic=float(found.statistic),
        p_value=_p_value(found.null_distribution, difference, x, y, drawn=divisions > _EXACT),
        difference=difference,
        low=float(low),
        high=float(high),
        note=note,
    )


def _difference(x: Floats, y: Floats, axis: int) -> Floats:
    found: Floats = np.mean(x, axis=axis) - np.mean(y, axis=axis)
    return found


def _p_value(differences: Floats, observed: float, x: Floats, y: Floats, *, drawn: bool) -> float:
    """Twice the share of divisions at least as far out on the nearer side.

    SciPy's own allows for rounding by a share of the observed difference, which is too little where
    that is small beside the values. Where divisions are drawn the observed one counts as one more.
    """
    slack = _TOLERANCE * float(np.abs(np.concatenate([x, y])).max())
    above = np.count_nonzero(differences >= observed - slack) + drawn
    below = np.count_nonzero(differences <= observed + slack) + drawn
    return min(1.0, 2 * float(min(above, below)) / (differences.size + drawn))


def _inverted(x: Floats, y: Floats, alpha: float) -> tuple[float, float]:
    """The differences that the test would not reject: both ends, infinite where there is none."""
    weights = _divisions(len(x), len(y))
    if 2 / len(weights) > alpha:
        return -math.inf, math.inf
    middle = float(x.mean() - y.mean())
    step = float(np.ptp(np.concatenate([x - middle, y])))
    largest = float(np.abs(np.concatenate([x, y])).max())

    def rejected(shift: float) -> bool:
        differences = weights @ np.concatenate([x - shift, y])
        observed = middle - shift
        slack = _TOLERANCE * (abs(shift) + largest)  # divisions that tie but for rounding
        above = np.mean(differences >= observed - slack)
        below = np.mean(differences <= observed + slack)
        return bool(2 * min(above, below) <= alpha)

    def edge(side: float) -> float:
        near, far = 0.0, step
        while not rejected(middle + side * far):
            near, far = far, 2 * far
            if far > _FURTHEST * step:
                return side * math.inf
        for _ in range(_STEPS):
            between = (near + far) / 2
            near, far = (near, between) if rejected(middle + side * between) else (between, far)
        return middle + side * far

    return edge(-1.0), edge(1.0)


@lru_cache(maxsize=32)
def _divisions(first: int, second: int) -> Floats:
    """One row a division: 1/n for values of the first group, -1/m for those of the second."""
    total = first + second
    weights = np.full((math.comb(total, first), total), -1.0 / second)
    for row, chosen in enumerate(combinations(range(total), first)):
        weights[row, list(chosen)] = 1.0 / first
    weights.setflags(write=False)
    return weights
