"""Two-sided tests of a model against a reference, and when each applies.

A model that does not vary (it has no seed, or gives the same value for every seed) has no sampling
distribution: the other's runs are then tested against its one value, and the outcome says so.
Where there is no answer - one run only, neither model varies, a value that is not a number - the
p-value is NaN and the note says why.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from scipy import stats

from sclong_bench.statistics.permutation import permutation_test
from sclong_bench.statistics.sample import Floats, Sample
from sclong_bench.statistics.signed_rank import signed_rank_test
from sclong_bench.statistics.two_sided import TwoSidedTest
from sclong_core.errors import ConfigError, InputError

TestName = Literal["student", "welch", "paired", "wilcoxon", "permutation"]
TESTS: tuple[TestName, ...] = get_args(TestName)
"""Student's and Welch's t-test, the paired t-test, Wilcoxon's signed-rank test, and the exact
permutation test of means."""
PAIRED = frozenset({"paired", "wilcoxon"})
"""Tests of the differences between runs of the same seed."""


def compare_samples(
    model: Sample, reference: Sample, test: str = "welch", *, confidence: float = 0.95
) -> TwoSidedTest:
    """Test whether two models differ.

    Args:
        model: runs of one.
        reference: runs of the other; the difference is model minus reference.
        test: one of :data:`TESTS`.
        confidence: of the interval of the difference.

    Raises:
        ConfigError: no such test.
        InputError: a paired test of runs with different seeds.
    """
    if test not in TESTS:
        raise ConfigError(f"there is no test {test!r}: choose one of {', '.join(TESTS)}")
    difference = model.mean - reference.mean
    reason = _no_test(model, reference)
    if reason:
        return TwoSidedTest("none", difference=difference, note=reason)
    if model.constant or reference.constant:
        return _one_sample(model, reference, test, confidence)
    if test in PAIRED:
        if model.seeds != reference.seeds:
            raise InputError(
                f"the {test} test needs runs of the same seeds: {_listed(model)} are not "
                f"{_listed(reference)}; choose welch, or run what is missing"
            )
        return _of_differences(model.values - reference.values, test, confidence)
    if test == "permutation":
        return permutation_test(model.values, reference.values, confidence=confidence)
    found = stats.ttest_ind(model.values, reference.values, equal_var=test == "student")
    return _outcome(test, found, difference, confidence)


def _no_test(model: Sample, reference: Sample) -> str:
    for sample, name in ((model, "the model"), (reference, "the reference")):
        if not sample.n:
            return f"{name} has no runs"
        if not sample.finite:
            return f"a value of {name} is not a finite number"
        if not sample.seeds and sample.spread:
            return f"{name} has several values and no seeds: which is meant is not known"
    if model.constant and reference.constant:
        return "neither varies over seeds: there is nothing to test"
    if any(sample.n == 1 and not sample.constant for sample in (model, reference)):
        return "one run has no spread: more seeds are needed"
    return ""


def _one_sample(model: Sample, reference: Sample, test: str, confidence: float) -> TwoSidedTest:
    """The one that varies against the value of the one that does not."""
    varying, sign = (model, 1.0) if reference.constant else (reference, -1.0)
    constant = reference if reference.constant else model
    differences = sign * (varying.values - constant.values[0])
    found = _of_differences(differences, "wilcoxon" if test == "wilcoxon" else "paired", confidence)
    if found.test == "none":
        return found
    which = "reference" if reference.constant else "model"
    note = f"the {which} does not vary: one-sample test against its value"
    return TwoSidedTest(
        "one-sample " + ("wilcoxon" if test == "wilcoxon" else "t"),
        *(found.statistic, found.df, found.p_value, found.difference, found.low, found.high),
        note="; ".join(filter(None, [note, found.note])),
    )


def _of_differences(differences: Floats, test: str, confidence: float) -> TwoSidedTest:
    if test == "wilcoxon":
        return signed_rank_test(differences, confidence=confidence)
    sample = Sample.of(differences)
    if not sample.spread:
        return TwoSidedTest(
            "none", difference=sample.mean, note="the difference is the same for every seed"
        )
    found = stats.ttest_1samp(differences, 0.0)
    return _outcome(test, found, sample.mean, confidence)


def _outcome(test: str, found: object, difference: float, confidence: float) -> TwoSidedTest:
    interval: Callable[..., tuple[float, float]] = found.confidence_interval  # type: ignore[attr-defined]
    low, high = interval(confidence)
    return TwoSidedTest(
        test,
        statistic=float(found.statistic),  # type: ignore[attr-defined]
        df=float(found.df),  # type: ignore[attr-defined]
        p_value=float(found.pvalue),  # type: ignore[attr-defined]
        difference=difference,
        low=float(low),
        high=float(high),
    )


def _listed(sample: Sample) -> str:
    return " ".join(map(str, np.asarray(sample.seeds))) or "none"
