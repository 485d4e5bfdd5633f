import numpy as np
import pytest
from scipy import stats

from sclong_bench.statistics.resampling import interval_over_units


def test_rows_of_a_unit_stay_together():
    """Repeating the rows of each unit tells nothing new: the interval stays."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=20)
    once = interval_over_units(range(20), lambda rows: values[rows].mean())
    often = interval_over_units(
        np.repeat(range(20), 50), lambda rows: np.repeat(values, 50)[rows].mean()
    )
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert once.units == often.units == 20


def test_a_difference_on_the_same_rows_is_known_better_than_either():
    generator = np.random.default_rng(1)
    shared = generator.normal(0, 1, 100)
    one, other = (shared + generator.normal(shift, 0.1, 100) for shift in (0.1, 0.0))
    alone = interval_over_units(range(100), lambda rows: one[rows].mean())
    paired = interval_over_units(range(100), lambda rows: (one[rows] - other[rows]).mean())
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)
    assert paired.low > 0


def test_bca_is_scipys():
    values = np.random.default_rng(2).gamma(1, size=15)
    found = interval_over_units(
        range(15), lambda rows: values[rows].mean(), method="BCa", resamples=500
    )
    reference = stats.bootstrap(
        (np.arange(15),),
        lambda rows: values[rows].mean(),
        vectorized=False,
        n_resamples=500,
        random_state=np.random.default_rng(0),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_intervals_cover_what_they_are_about():
    """Units that differ: rows alone would give intervals far too short."""
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(150):
        units = np.repeat(range(30), 4)
        values = generator.normal(0, 1, 30)[units] + generator.normal(0, 0.1, 120)
        found = interval_over_units(
            units, lambda rows, values=values: values[rows].mean(), resamples=400
        )
        covered += found.low <= 0 <= found.high
    assert stats.binomtest(covered, 150, 0.94).pvalue > 1e-3


def test_what_cannot_be_resampled_says_why():
    assert "one unit" in interval_over_units(["a", "a"], lambda rows: float(len(rows))).note
    never = interval_over_units(range(5), lambda rows: np.nan)
    assert np.isnan(never.low)
    assert "not defined" in never.note
    sometimes = interval_over_units(
        range(5), lambda rows: np.nan if 0 not in rows else 1.0, resamples=300
    )
    assert "not defined in" in sometimes.note
    assert sometimes.low == sometimes.high == 1
