"""Metrics of predicted expression, beside scipy, scikit-learn, scanpy and plain loops."""

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.stats import pearsonr, ttest_ind
from sklearn.metrics import mean_squared_error as sklearn_mse

from sclong_tasks.genetic_perturbation.metrics import (
    centroid_accuracy,
    mean_squared_error,
    most_variable,
    pearson_of_change,
    printed_mse,
    printed_pearson,
    wrong_directions,
)
from sclong_tasks.genetic_perturbation.ranking import Moments, rank_genes, without_dropouts

GENES = np.array([1, 4, 5, 7])


@pytest.fixture
def values():
    generator = np.random.default_rng(0)
    return generator.normal(size=(3, 9))


def test_errors_and_correlations_are_those_of_scikit_learn_and_scipy(values):
    truth, predicted, control = values
    assert mean_squared_error(truth, predicted, GENES) == pytest.approx(
        sklearn_mse(truth[GENES], predicted[GENES])
    )
    for lenient in (True, False):
        found = pearson_of_change(truth, predicted, control, GENES, lenient=lenient)
        expected = pearsonr((truth - control)[GENES], (predicted - control)[GENES]).statistic
        assert found == pytest.approx(expected)


def test_a_change_against_another_reference_is_another_correlation(values):
    truth, predicted, control = values
    one = pearson_of_change(truth, predicted, control, GENES, lenient=False)
    other = pearson_of_change(truth, predicted, control + 2 * truth, GENES, lenient=False)
    assert abs(one - other) > 0.1


def test_what_is_not_defined_is_zero_only_as_published(values):
    truth, predicted, control = values
    none = np.array([], dtype=np.int64)
    assert pearson_of_change(truth, control, control, GENES, lenient=False) == 0
    assert pearson_of_change(truth, control, control, GENES, lenient=True) == 0
    assert np.isnan(pearson_of_change(control, predicted, control, GENES, lenient=False))
    assert pearson_of_change(control, predicted, control, GENES, lenient=True) == 0
    assert np.isnan(pearson_of_change(truth, predicted, control, none, lenient=False))
    assert np.isnan(mean_squared_error(truth, predicted, none))
    assert np.isnan(wrong_directions(truth, predicted, control, none))


def test_what_rounding_leaves_of_no_change_is_no_change(values):
    truth, change, control = values
    predicted = (control + change) - change
    assert (predicted != control).any()
    assert pearson_of_change(truth, predicted, control, np.arange(9), lenient=False) == 0
    assert np.isnan(pearson_of_change(predicted, truth, control, np.arange(9), lenient=False))


def test_directions_are_counted_as_in_gears():
    control = np.zeros(5)
    truth = np.array([1.0, -1.0, 1.0, 0.0, -2.0])
    predicted = np.array([2.0, 1.0, 0.0, 3.0, 1.0])
    every = np.arange(5)
    difference = np.abs(np.sign(predicted - control) - np.sign(truth - control))
    assert wrong_directions(truth, predicted, control, every) == np.mean(difference == 2)


def test_centroids_are_counted_one_by_one(values):
    truth, predicted = values, values + np.random.default_rng(1).normal(size=values.shape)
    expected = []
    for number, one in enumerate(predicted):
        distances = np.linalg.norm(truth - one, axis=1)
        others = np.delete(distances, number)
        expected.append(np.mean(others > distances[number]))
    assert centroid_accuracy(truth, predicted) == pytest.approx(np.array(expected))
    assert centroid_accuracy(truth, truth) == pytest.approx(np.ones(3))
    same = np.repeat(values[:1], 3, axis=0)
    assert centroid_accuracy(same, same) == pytest.approx(np.full(3, 0.5))
    assert np.isnan(centroid_accuracy(truth[:1], truth[:1])).all()


def test_the_printed_way_goes_by_cells():
    generator = np.random.default_rng(2)
    truth, predicted, paired = generator.normal(size=(3, 6, 9))
    genes = most_variable(truth, 4)
    assert set(genes) == set(np.argsort(truth.var(0))[-4:])
    expected = [
        pearsonr((truth - paired)[cell, genes], (predicted - paired)[cell, genes]).statistic
        for cell in range(6)
    ]
    assert printed_pearson(truth, predicted, paired, genes) == pytest.approx(np.mean(expected))
    assert printed_mse(truth, predicted, genes) == pytest.approx(
        sklearn_mse(truth[:, genes], predicted[:, genes])
    )
    assert np.isnan(printed_pearson(truth, paired, paired, genes))


@pytest.fixture
def cells():
    generator = np.random.default_rng(3)
    control = generator.poisson(1.0, (40, 12)).astype(float)
    condition = generator.poisson(np.linspace(0.2, 3.0, 12), (15, 12)).astype(float)
    control[:, 4] = condition[:, 4] = 0
    return sparse.csr_matrix(condition), sparse.csr_matrix(control)


def test_the_ranking_is_that_of_scipys_test_and_of_scanpy(cells):
    condition, control = cells
    found = rank_genes(Moments.of(condition), Moments.of(control))
    dense, other = condition.toarray(), control.toarray()
    moving = np.delete(np.arange(12), 4)
    t = ttest_ind(dense[:, moving], other[:, moving], equal_var=False).statistic
    assert list(found[:11]) == list(moving[np.argsort(-np.abs(t))])
    assert found[11] == 4
    scanpy = pytest.importorskip("scanpy")
    table = AnnData(np.vstack([dense, other]))
    table.obs["group"] = ["condition"] * 15 + ["ctrl"] * 40
    table.obs["group"] = table.obs["group"].astype("category")
    scanpy.tl.rank_genes_groups(
        table, "group", reference="ctrl", rankby_abs=True, method="t-test", use_raw=False
    )
    names = table.uns["rank_genes_groups"]["names"]["condition"]
    assert [int(name) for name in names[:11]] == list(found[:11])


def test_genes_that_drop_out_are_passed_over():
    ranking = np.array([3, 0, 2, 1])
    mean, control = np.array([0.0, 1.0, 0.0, 2.0]), np.array([1.0, 1.0, 0.0, 0.0])
    assert list(without_dropouts(ranking, mean, control)) == [3, 2, 1]
