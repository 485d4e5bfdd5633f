import numpy as np
import pytest
from scipy import stats

from sclong_bench.statistics.permutation import permutation_test


def pairs(count, n):
    generator = np.random.default_rng(0)
    return [(generator.normal(0, 1, n), generator.normal(0.5, 1, n)) for _ in range(count)]


def test_the_permutation_test_goes_through_all_divisions():
    for x, y in pairs(5, 5):
        found = permutation_test(x, y, confidence=0.95)
        reference = stats.permutation_test(
            (x, y), lambda a, b, axis: a.mean(axis) - b.mean(axis), n_resamples=np.inf
        )
        assert found.p_value == pytest.approx(reference.pvalue, abs=1e-12)
        assert found.p_value >= 2 / 252 - 1e-12


def test_many_divisions_are_drawn_and_said():
    generator = np.random.default_rng(2)
    x, y = generator.normal(0.8, 1, 14), generator.normal(0, 1, 14)
    found = permutation_test(x, y, confidence=0.95)
    assert "random divisions" in found.note
    assert found.p_value == pytest.approx(stats.ttest_ind(x, y).pvalue, abs=0.02)


def test_three_runs_are_too_few_for_an_interval():
    found = permutation_test(np.array([1.0, 2, 3]), np.array([7.0, 8, 9]), confidence=0.95)
    assert found.p_value == pytest.approx(0.1)
    assert (found.low, found.high) == (-np.inf, np.inf)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_interval_moves_and_grows_with_the_values(scale):
    generator = np.random.default_rng(3)
    x, y = generator.normal(1, 1, 5), generator.normal(0, 1, 5)
    found = permutation_test(x, y, confidence=0.95)
    moved = permutation_test(scale * (x + 7), scale * (y + 3), confidence=0.95)
    ends = (scale * (found.low + 4), scale * (found.high + 4))
    assert (moved.low, moved.high) == pytest.approx(ends, rel=1e-9)
