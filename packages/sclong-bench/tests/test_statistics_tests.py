import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from sclong_bench.statistics.sample import Sample
from sclong_bench.statistics.tests import TESTS, compare_samples
from sclong_bench.statistics.two_sided import TwoSidedTest
from sclong_core.errors import ConfigError, InputError

EXACT = {"abs": 1e-12, "rel": 1e-12}


def pairs(count=20, n=5):
    generator = np.random.default_rng(0)
    return [
        (generator.normal(0, 1, n), generator.normal(0.5, generator.uniform(0.2, 3), n))
        for _ in range(count)
    ]


@pytest.mark.parametrize("test", ["student", "welch"])
def test_two_sample_t_tests_are_scipys(test):
    for x, y in pairs():
        found = compare_samples(Sample.of(x), Sample.of(y), test)
        reference = stats.ttest_ind(x, y, equal_var=test == "student")
        assert found.statistic == pytest.approx(reference.statistic, **EXACT)
        assert found.p_value == pytest.approx(reference.pvalue, **EXACT)
        assert (found.low, found.high) == pytest.approx(reference.confidence_interval(), **EXACT)


def test_t_tests_are_those_of_statsmodels():
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW  # noqa: PLC0415  # slow

    for x, y in pairs():
        both = CompareMeans(DescrStatsW(x), DescrStatsW(y))
        for test, usevar in (("student", "pooled"), ("welch", "unequal")):
            found = compare_samples(Sample.of(x), Sample.of(y), test)
            statistic, p_value, df = both.ttest_ind(usevar=usevar)
            assert (found.statistic, found.p_value, found.df) == pytest.approx(
                (statistic, p_value, df), **EXACT
            )
            assert (found.low, found.high) == pytest.approx(
                both.tconfint_diff(usevar=usevar), **EXACT
            )


def test_the_paired_t_test_is_scipys():
    for x, y in pairs():
        found = compare_samples(Sample.of(x), Sample.of(y), "paired")
        reference = stats.ttest_rel(x, y)
        assert found.p_value == pytest.approx(reference.pvalue, **EXACT)
        assert (found.low, found.high) == pytest.approx(reference.confidence_interval(), **EXACT)


@pytest.mark.parametrize("test", ["wilcoxon", "permutation"])
def test_an_interval_holds_what_its_test_would_not_reject(test):
    generator = np.random.default_rng(1)
    x, y = generator.normal(1, 1, 7), generator.normal(0, 1, 7)
    found = compare_samples(Sample.of(x), Sample.of(y), test)
    step = 1e-6
    for edge, inwards in ((found.low, step), (found.high, -step)):
        inside = compare_samples(Sample.of(x - edge - inwards), Sample.of(y), test)
        outside = compare_samples(Sample.of(x - edge + inwards), Sample.of(y), test)
        assert outside.p_value <= 0.05 < inside.p_value


@example(
    [0.0, -92.0, -99.43821077820103],
    [-29.0, -62.438210778201025, -99.43821077820103],
    "permutation",
)
@given(
    st.lists(st.floats(-100, 100), min_size=3, max_size=6),
    st.lists(st.floats(-100, 100), min_size=3, max_size=6),
    st.sampled_from(["student", "welch", "permutation"]),
)
def test_changing_sides_changes_signs_alone(x, y, test):
    one = compare_samples(Sample.of(x), Sample.of(y), test)
    other = compare_samples(Sample.of(y), Sample.of(x), test)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-6, nan_ok=True)
    assert one.difference == pytest.approx(-other.difference, abs=1e-9)
    assert np.isnan(one.p_value) or 0 <= one.p_value <= 1


def test_a_model_without_seeds_is_tested_against_as_a_constant():
    runs = [0.5, 0.6, 0.7, 0.65, 0.55]
    reference = stats.ttest_1samp(runs, 0.4)
    found = compare_samples(Sample.of(runs), Sample.of([0.4], []), "welch")
    assert found.test == "one-sample t"
    assert found.p_value == pytest.approx(reference.pvalue, **EXACT)
    assert "reference does not vary" in found.note
    turned = compare_samples(Sample.of([0.4], []), Sample.of(runs), "student")
    assert turned.statistic == pytest.approx(-found.statistic)
    assert turned.difference == pytest.approx(-found.difference)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize(
    ("model", "reference", "why"),
    [
        (Sample.of([1.0]), Sample.of([1.0, 2.0, 3.0]), "one run"),
        (Sample.of([1.0, 1.0, 1.0]), Sample.of([2.0, 2.0, 2.0]), "neither varies"),
        (Sample.of([1.0], []), Sample.of([2.0], []), "neither varies"),
        (Sample.of([1.0, np.nan, 2.0]), Sample.of([2.0, 3.0, 2.5]), "not a finite number"),
        (Sample.of([1.0, 2.0, 2.0]), Sample.of([2.0, np.inf, 2.5]), "not a finite number"),
        (Sample.of([]), Sample.of([1.0, 2.0, 3.0]), "no runs"),
        (Sample.of([1.0, 2.0], []), Sample.of([1.0, 2.0, 3.0]), "no seeds"),
    ],
)
def test_what_has_no_answer_says_why(model, reference, why, test):
    found = compare_samples(model, reference, test)
    assert found.test == "none"
    assert np.isnan(found.p_value)
    assert why in found.note


def test_a_difference_that_never_varies_is_not_tested():
    x = np.array([0.1, 0.2, 0.3, 0.4])
    found = compare_samples(Sample.of(x + 0.1), Sample.of(x), "paired")
    assert (found.test, found.difference) == ("none", pytest.approx(0.1))


def test_pairs_need_the_same_seeds():
    one, other = Sample.of([1, 2, 3], [1, 2, 3]), Sample.of([1, 2, 4], [1, 2, 4])
    with pytest.raises(InputError, match="1 2 3 are not 1 2 4"):
        compare_samples(one, other, "paired")
    with pytest.raises(ConfigError, match="choose one of student"):
        compare_samples(one, other, "anova")


def test_runs_are_paired_by_seed_whatever_their_order():
    one = Sample.of([3.0, 1.0, 2.0], [3, 1, 2])
    assert one.values.tolist() == [1, 2, 3]
    assert one.seeds == (1, 2, 3)


def test_rounding_is_no_spread():
    assert Sample.of([0.1 + 0.2, 0.3, 0.3]).constant
    assert not Sample.of([0.3, 0.3 + 1e-9]).constant


def test_an_outcome_without_a_test_has_nothing_but_its_note():
    found = compare_samples(Sample.of([1.0]), Sample.of([1.0, 2.0]))
    assert found == TwoSidedTest("none", difference=-0.5, note=found.note) or np.isnan(
        found.p_value
    )
    assert not np.isfinite([found.statistic, found.df, found.low, found.high]).any()
