import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import root_mean_squared_error
from torchmetrics.functional import pearson_corrcoef

from sclong_tasks.metrics.correlation import pearson, pearson_within, rmse, spearman

VALUES = st.lists(
    st.tuples(st.integers(-20, 20), st.floats(-1e3, 1e3, allow_nan=False)), min_size=2, max_size=40
)


def scipy_reference(function, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(x, y).statistic


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_pearson_and_spearman_are_those_of_scipy(pairs):
    x, y = np.array(pairs, dtype=float).T
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        expected = scipy_reference(theirs, x, y)
        found = ours(x, y)
        if not np.isnan(found) and not np.isnan(expected):
            assert found == pytest.approx(expected, abs=1e-9)
        else:
            assert np.ptp(x) == 0 or np.ptp(y) < 1e-9 * max(1.0, np.abs(y).max())


def test_pearson_is_that_of_torchmetrics():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 50))
    expected = float(pearson_corrcoef(torch.from_numpy(x), torch.from_numpy(y)))
    assert pearson(x, y) == pytest.approx(expected, abs=1e-7)


def test_ties_get_mean_ranks():
    x, y = [1.0, 1.0, 2.0, 3.0], [2.0, 1.0, 1.0, 5.0]
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_rmse_is_that_of_scikit_learn():
    x, y = np.random.default_rng(1).normal(size=(2, 20))
    assert rmse(x, y) == pytest.approx(root_mean_squared_error(x, y), rel=1e-12)


@pytest.mark.parametrize("function", [pearson, spearman])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([1.0], [1.0]),
        ([1.0, 1.0], [1.0, 2.0]),
        ([0.1] * 5, [1, 2, 3, 4, 5]),
        ([1.0, np.nan], [1.0, 2.0]),
    ],
)
def test_what_is_not_defined_is_nan(function, x, y):
    assert np.isnan(function(x, y))


def test_rmse_of_nothing_is_nan():
    assert np.isnan(rmse([], []))


def test_vectors_of_different_length_are_refused():
    with pytest.raises(ValueError, match="one length"):
        pearson([1.0, 2.0], [1.0])


def test_correlation_within_groups():
    groups = ["a"] * 4 + ["b"] * 4 + ["c"] * 2 + ["d"] * 3
    truth = [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 5, 5, 5]
    predicted = [2, 4, 6, 8, 7, 7, 7, 7, 1, 2, 1, 2, 3]
    found = pearson_within(truth, predicted, groups)
    np.testing.assert_allclose(found, [1.0, 0.0, np.nan])
