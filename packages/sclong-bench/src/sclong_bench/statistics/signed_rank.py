"""Wilcoxon's signed-rank test of differences, exact also with ties where there are few runs."""

import math

import numpy as np
from scipy import stats

from sclong_bench.statistics.sample import Floats
from sclong_bench.statistics.two_sided import TwoSidedTest

_EXACT = 13
"""Differences up to which all signs are gone through."""


def signed_rank_test(differences: Floats, *, confidence: float) -> TwoSidedTest:
    """Two-sided test; differences of zero are left out, as Wilcoxon did.

    The difference is the Hodges-Lehmann estimate, the median of the means of all pairs, and the
    interval is that of the same pairs.
    """
    counted = differences[differences != 0]
    n = len(counted)
    if n == 0:
        return TwoSidedTest("none", difference=0.0, note="all differences are zero")
    method = stats.PermutationMethod(n_resamples=np.inf) if n <= _EXACT else "auto"
    found = stats.wilcoxon(counted, method=method)
    low, high = _interval(differences, 1 - confidence)
    notes = [f"{len(differences) - n} equal pairs left out"] if n < len(differences) else []
    if math.isinf(low):
        notes.append(f"{len(differences)} pairs are too few for a {confidence:.0%} interval")
    return TwoSidedTest(
        "wilcoxon",
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        difference=float(np.median(_walsh(differences))),
        low=low,
        high=high,
        note="; ".join(notes),
    )


def _walsh(differences: Floats) -> Floats:
    """Means of all pairs, each value with itself too, ascending."""
    first, second = np.triu_indices(len(differences))
    found: Floats = np.sort((differences[first] + differences[second]) / 2)
    return found


def _interval(differences: Floats, alpha: float) -> tuple[float, float]:
    n = len(differences)
    cumulative = np.cumsum(_rank_sums(n)) / 2.0**n
    outside = int(np.searchsorted(cumulative, alpha / 2, side="right"))  # P(W < outside) <= alpha/2
    if outside == 0:
        return -math.inf, math.inf
    averages = _walsh(differences)
    return float(averages[outside - 1]), float(averages[-outside])


def _rank_sums(n: int) -> Floats:
    """How many of the 2^n choices of signs give each sum of positive ranks."""
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1
    for rank in range(1, n + 1):
        counts[rank:] += counts[:-rank].copy()
    return counts
