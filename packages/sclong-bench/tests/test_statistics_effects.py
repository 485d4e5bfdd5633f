import numpy as np
import pytest
from scipy import stats

from sclong_bench.statistics.effects import cliffs_delta, cohens_d, effects, hedges_g
from sclong_bench.statistics.sample import Sample


def test_sizes_by_their_definitions():
    generator = np.random.default_rng(0)
    for n, m in ((5, 5), (4, 7), (2, 3)):
        x, y = generator.normal(1, 2, n), generator.normal(0, 1, m)
        t = stats.ttest_ind(x, y).statistic
        df = n + m - 2
        d = t * np.sqrt(1 / n + 1 / m)
        assert cohens_d(x, y) == pytest.approx(d, abs=1e-12)
        assert hedges_g(x, y) == pytest.approx(d * (1 - 3 / (4 * df - 1)), abs=1e-12)
        u = stats.mannwhitneyu(x, y).statistic
        assert cliffs_delta(x, y) == pytest.approx(2 * u / (n * m) - 1, abs=1e-12)


def test_the_correction_for_five_runs():
    assert hedges_g([1, 2, 3, 4, 5], [2, 3, 4, 5, 6]) / cohens_d(
        [1, 2, 3, 4, 5], [2, 3, 4, 5, 6]
    ) == pytest.approx(0.903, abs=5e-4)


def test_ties_count_for_neither_side():
    assert cliffs_delta([1, 1, 2], [1, 1, 2]) == 0
    assert cliffs_delta([2, 3], [0, 1]) == 1


def test_without_spread_sizes_are_infinite_or_undefined():
    assert cohens_d([2, 2], [1, 1]) == np.inf
    assert np.isnan(cohens_d([1, 1], [1, 1]))
    assert np.isnan(cohens_d([1], [2]))
    found = effects(Sample.of([2.0, 2.0]), Sample.of([1.0, 1.0]))
    assert np.isnan(found.cohens_d.value)  # nothing is known about how much either varies
    assert found.cliffs_delta.value == 1
    for broken in ([1.0, np.nan, 2.0], [1.0, np.inf, 2.0], [], [1.0]):
        assert np.isnan(effects(Sample.of(broken), Sample.of([1.0, 2.0, 4.0])).cohens_d.value)


def test_a_constant_adds_no_degrees_of_freedom():
    runs = np.array([1.0, 2.0, 3.0, 4.0])
    found = effects(Sample.of(runs), Sample.of([0.0], []))
    assert found.cohens_d.value == pytest.approx(runs.mean() / runs.std(ddof=1))
    assert found.hedges_g.value / found.cohens_d.value == pytest.approx(1 - 3 / 11)


def test_intervals_repeat_and_hold_the_size():
    generator = np.random.default_rng(0)
    x, y = Sample.of(generator.normal(1, 1, 5)), Sample.of(generator.normal(0, 1, 5))
    found = effects(x, y)
    assert found == effects(x, y)
    for effect in (found.cohens_d, found.hedges_g, found.cliffs_delta):
        assert effect.low <= effect.value <= effect.high


def test_intervals_cover_at_a_size_where_a_bootstrap_can():
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        x, y = (Sample.of(generator.normal(mean, 1, 40)) for mean in (0.8, 0.0))
        found = effects(x, y).cohens_d
        covered += found.low <= 0.8 <= found.high
    assert stats.binomtest(covered, 200, 0.95).pvalue > 1e-3
