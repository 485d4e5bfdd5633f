import numpy as np
import pytest
from scipy import stats

from sclong_bench.statistics.signed_rank import signed_rank_test


def pairs(count, n):
    generator = np.random.default_rng(0)
    return [(generator.normal(0, 1, n), generator.normal(0.5, 1, n)) for _ in range(count)]


def test_the_signed_rank_test_is_scipys():
    for x, y in pairs(20, 8):
        found = signed_rank_test(x - y, confidence=0.95)
        reference = stats.wilcoxon(x, y, method="exact")
        assert found.statistic == pytest.approx(reference.statistic, abs=1e-12)
        assert found.p_value == pytest.approx(reference.pvalue, abs=1e-12)


def test_five_runs_are_too_few_for_signed_ranks():
    found = signed_rank_test(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), confidence=0.95)
    assert found.p_value == pytest.approx(1 / 16)
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert "too few" in found.note


def test_ties_among_ranks_are_exact():
    found = signed_rank_test(np.array([1.0, 1, 0, -1, 2]), confidence=0.95)
    assert "1 equal pairs" in found.note
    # Differences 1 1 -1 2 have ranks 2 2 2 4: in 8 of 16 choices of signs, one side has 2 or less
    assert found.p_value == pytest.approx(0.5)


def test_no_difference_at_all():
    assert signed_rank_test(np.zeros(4), confidence=0.95).test == "none"
