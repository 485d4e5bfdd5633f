import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sclong_data.report.scale import Scale, logarithmic_ticks, tick_labels, ticks

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(numbers, numbers, st.integers(3, 10))
def test_ticks_enclose_all_values_in_even_steps(low, high, most):
    assume(high - low > 1e-6)
    values = ticks(low, high, most=most)
    steps = [after - before for before, after in pairwise(values)]
    slack = 1e-6 * (high - low)
    assert values[0] <= low + slack
    assert values[-1] >= high - slack
    assert 2 <= len(values) <= most
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e5])
def test_a_single_value_has_an_axis_around_it(value):
    values = ticks(value, value)
    assert values[0] < value < values[-1]


@given(st.floats(1e-5, 1e5), st.floats(1.0, 1e5))
def test_logarithmic_ticks_lie_between_the_ends(low, ratio):
    values = logarithmic_ticks(low, low * ratio)
    assert all(low <= value <= low * ratio for value in values)
    assert list(values) == sorted(set(values))
    assert len(values) >= min(3, math.floor(3 * math.log10(ratio)))


def test_logarithmic_ticks_are_round():
    assert logarithmic_ticks(0.18, 2.4) == (0.2, 0.5, 1.0, 2.0)
    assert logarithmic_ticks(0.18, 0.6) == (0.2, 0.3, 0.5)
    assert logarithmic_ticks(1.01, 1.21) == (1.05, 1.1, 1.15, 1.2)


def test_labels_of_an_axis_have_the_same_decimals():
    assert tick_labels((-0.5, 0.0, 0.25)) == ("\N{MINUS SIGN}0.50", "0.00", "0.25")
    assert tick_labels((0.0, 1000.0)) == ("0", "1,000")


def test_a_scale_maps_its_ends_to_its_ends():
    scale = Scale(2, 4, 100, 0)
    assert [scale(value) for value in (2, 3, 4)] == [100, 50, 0]


def test_a_logarithmic_scale_maps_ratios_to_distances():
    scale = Scale(0.1, 10, 0, 100, logarithmic=True)
    assert scale(1) == pytest.approx(50)
    assert scale(10) - scale(5) == pytest.approx(100 * math.log(2) / math.log(100))
