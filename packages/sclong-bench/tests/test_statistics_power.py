import numpy as np
import pytest
from scipy import stats

from sclong_bench.statistics.power import power_of_t_test, smallest_difference, smallest_effect


def test_five_runs_show_a_difference_of_two_standard_deviations():
    assert smallest_effect(5, 5) == pytest.approx(2.024, abs=1e-3)
    assert smallest_difference(5, 5, 0.01) == pytest.approx(0.02024, abs=1e-5)
    assert smallest_effect(5, 5, alpha=0.05 / 56) > smallest_effect(5, 5)
    assert np.isnan(smallest_effect(1, 5))


def test_the_power_curve_of_five_runs_is_that_of_the_noncentral_t():
    for effect in (0.5, 1.0, 2.0, 3.0):
        limit = stats.t.ppf(0.975, 8)
        shift = effect * np.sqrt(5 / 2)
        by_hand = stats.nct.sf(limit, 8, shift) + stats.nct.cdf(-limit, 8, shift)
        assert power_of_t_test(effect, 5) == pytest.approx(by_hand, abs=1e-9)


def test_the_power_curve_is_what_simulations_find():
    generator = np.random.default_rng(0)
    runs = 4_000
    for effect in (0.0, 1.0, 2.0, 3.0):
        x, y = generator.normal(effect, 1, (runs, 5)), generator.normal(0, 1, (runs, 5))
        found = int((stats.ttest_ind(x, y, axis=1).pvalue < 0.05).sum())
        expected = power_of_t_test(effect, 5) if effect else 0.05
        assert stats.binomtest(found, runs, expected).pvalue > 1e-3, effect
