import numpy as np

from sclong_tasks.metrics.intervals import bootstrap_interval, mean_over


def test_the_interval_is_that_of_the_normal_theory():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(
        lambda rows: float(values[rows].mean()), np.arange(400), draws=2000
    )
    half = 1.96 * values.std(ddof=1) / 20
    np.testing.assert_allclose(
        [low, high], [values.mean() - half, values.mean() + half], atol=0.015
    )


def test_rows_of_one_unit_stay_together():
    values = np.repeat(np.random.default_rng(1).normal(size=20), 50)
    units = np.repeat(np.arange(20), 50)
    narrow = bootstrap_interval(lambda rows: float(values[rows].mean()), np.arange(1000))
    wide = bootstrap_interval(lambda rows: float(values[rows].mean()), units)
    assert wide[1] - wide[0] > 4 * (narrow[1] - narrow[0])


def test_it_repeats_with_its_seed():
    values = np.arange(30.0)
    first, second = (
        bootstrap_interval(lambda rows: float(values[rows].mean()), np.arange(30), seed=3)
        for _ in range(2)
    )
    assert first == second


def test_one_unit_and_an_undefined_statistic_have_no_interval():
    assert bootstrap_interval(lambda _rows: 1.0, [7, 7, 7]) == (None, None)
    assert bootstrap_interval(lambda _rows: float("nan"), [1, 2, 3]) == (None, None)


def test_a_mean_over_units_has_their_interval():
    values = np.random.default_rng(3).normal(size=30)
    found = mean_over("x", values, unit="cell type", draws=100, higher_is_better=False)
    assert found.value == values.mean()
    assert (found.n, found.unit, found.higher_is_better) == (30, "cell type", False)
    expected = bootstrap_interval(lambda rows: values[rows].mean(), np.arange(30), draws=100)
    assert (found.low, found.high) == expected
    assert np.isnan(mean_over("x", [], unit="cell type", draws=100).value)
