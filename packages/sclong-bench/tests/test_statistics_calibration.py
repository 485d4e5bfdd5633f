"""Simulated results without a difference: what the tables say of them, and how often."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sclong_bench.statistics.comparison import compare
from sclong_bench.statistics.correction import adjust
from sclong_bench.statistics.sample import Sample
from sclong_bench.statistics.tests import compare_samples

UNLIKELY = 1e-3


def null_p_values(test, runs, *, n=5, sds=(1.0, 1.0)):
    generator = np.random.default_rng(0)
    return np.array(
        [
            compare_samples(
                Sample.of(generator.normal(0, sds[0], n)),
                Sample.of(generator.normal(0, sds[1], n)),
                test,
            ).p_value
            for _ in range(runs)
        ]
    )


@pytest.mark.parametrize("test", ["student", "paired"])
def test_p_values_without_a_difference_are_uniform(test):
    assert stats.kstest(null_p_values(test, 2_000), "uniform").pvalue > UNLIKELY


def test_welch_keeps_its_rate_where_students_test_does_not():
    """With unequal spread and size. At five runs each Welch's test errs on the safe side."""
    assert (null_p_values("welch", 2_000) < 0.05).mean() <= 0.055
    generator = np.random.default_rng(1)
    rates = dict.fromkeys(("student", "welch"), 0.0)
    for _ in range(600):
        few, many = Sample.of(generator.normal(0, 4, 4)), Sample.of(generator.normal(0, 1, 12))
        for test in rates:
            rates[test] += (compare_samples(few, many, test).p_value < 0.05) / 600
    assert rates["student"] > 0.12
    assert rates["welch"] < 0.08


@pytest.mark.parametrize(
    ("test", "possible"),
    [("permutation", (14 / 252, 50 / 252, 126 / 252)), ("wilcoxon", (2 / 32, 6 / 32, 14 / 32))],
)
def test_exact_tests_give_each_of_their_p_values_as_often_as_it_says(test, possible):
    found = null_p_values(test, 400)
    for p_value in possible:
        hits = int((found <= p_value + 1e-9).sum())
        assert stats.binomtest(hits, 400, p_value).pvalue > UNLIKELY


@pytest.mark.parametrize("correction", ["bh", "by"])
@pytest.mark.parametrize("true_nulls", [12, 6])
def test_the_false_discovery_rate_is_held(correction, true_nulls):
    """Families of twelve Student tests of five runs against one reference, which ties them."""
    generator = np.random.default_rng(0)
    families, tests = 2_000, 12
    shift = np.where(np.arange(tests) < true_nulls, 0.0, 4.0)
    reference = generator.normal(size=(families, 1, 5))
    models = generator.normal(size=(families, tests, 5)) + shift[None, :, None]
    p_values = stats.ttest_ind(models, reference, axis=2).pvalue
    found = np.stack([adjust(row, correction) for row in p_values]) < 0.05
    false = found[:, :true_nulls].sum(axis=1)
    rate = np.mean(false / np.maximum(found.sum(axis=1), 1))
    error = np.std(false / np.maximum(found.sum(axis=1), 1)) / np.sqrt(families)
    assert rate <= 0.05 * true_nulls / tests + 3 * error
    if true_nulls < tests:
        assert found[:, true_nulls:].mean() > 0.8  # and the differences are still found


@pytest.mark.parametrize("true_nulls", [12, 6])
def test_independent_tests_have_exactly_the_rate_that_was_asked_for(true_nulls):
    generator = np.random.default_rng(2)
    families, tests = 3_000, 12
    shift = np.where(np.arange(tests) < true_nulls, 0.0, 4.0)
    models, references = generator.normal(size=(2, families, tests, 5))
    p_values = stats.ttest_ind(models + shift[:, None], references, axis=2).pvalue
    found = np.stack([adjust(row) for row in p_values]) < 0.05
    shares = found[:, :true_nulls].sum(axis=1) / np.maximum(found.sum(axis=1), 1)
    error = shares.std() / np.sqrt(families)
    assert shares.mean() == pytest.approx(0.05 * true_nulls / tests, abs=3 * error)


def test_a_table_of_nothing_but_noise_finds_nothing():
    """The whole way, from rows to q-values: a family of twelve in one table, many times."""
    generator = np.random.default_rng(0)
    tables, wrong = 60, 0
    for _ in range(tables):
        rows = [
            {"task": "t", "metric": "auroc", "model": model, "seed": seed, "value": value}
            for model in ("scLong", *"abcdefghijkl")
            for seed, value in enumerate(generator.normal(0.6, 0.01, 5))
        ]
        found = compare(pd.DataFrame(rows), test="student")
        assert len(found) == 12
        wrong += bool((found["q_value"] < 0.05).any())
    assert stats.binomtest(wrong, tables, 0.05, alternative="greater").pvalue > UNLIKELY
