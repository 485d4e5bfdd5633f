"""Fits, distance correlation and overlaps against the libraries that define them."""

import math

import numpy as np
import pytest
from scipy.stats import hypergeom
from sklearn.linear_model import LinearRegression, TheilSenRegressor
from statsmodels.stats.dist_dependence_measures import distance_correlation as reference

from sclong_tasks.genetic_interactions.evaluation import RULES
from sclong_tasks.genetic_interactions.metrics import (
    MEASURES,
    distance_correlation,
    fit_pair,
    measures_of,
    overlap,
    top_share,
)


def effects(genes=60, seed=0):
    generator = np.random.default_rng(seed)
    singles = generator.normal(size=(genes, 2))
    return singles, singles @ [0.8, 0.4] + 0.3 + generator.normal(0, 0.05, genes)


@pytest.mark.parametrize("intercept", [True, False])
def test_fits_are_those_of_scikit_learn(intercept):
    singles, pair = effects()
    by_least_squares = LinearRegression(fit_intercept=intercept).fit(singles, pair)
    found = fit_pair(singles, pair, method="least_squares", intercept=intercept)
    np.testing.assert_allclose([found.first, found.second], by_least_squares.coef_)
    np.testing.assert_allclose(found.fitted_g, by_least_squares.predict(singles))
    robust = TheilSenRegressor(
        fit_intercept=intercept, max_subpopulation=100, max_iter=1000, random_state=1000
    ).fit(singles, pair)
    found = fit_pair(singles, pair, method="theil_sen", intercept=intercept, draws=100)
    np.testing.assert_allclose([found.first, found.second], robust.coef_)
    assert found.magnitude == pytest.approx(math.hypot(*robust.coef_))


def test_theil_sen_does_not_follow_a_few_genes():
    singles, pair = effects()
    pair[:3] += 40
    robust = fit_pair(singles, pair, method="theil_sen", intercept=True)
    plain = fit_pair(singles, pair, method="least_squares", intercept=True)
    true = math.hypot(0.8, 0.4)
    assert abs(robust.magnitude - true) < 0.1 < abs(plain.magnitude - true)


def test_sums_and_nothing_have_the_magnitudes_they_should_have():
    singles, _ = effects()
    added = fit_pair(singles, singles.sum(1), method="least_squares", intercept=True)
    assert added.magnitude == pytest.approx(math.sqrt(2))
    assert added.dominance == pytest.approx(0, abs=1e-9)
    nothing = fit_pair(singles, np.zeros(60), method="theil_sen", intercept=False, draws=100)
    assert nothing.magnitude == nothing.dominance == 0
    # Collinear genes: the shortest solution, not an arbitrary one.
    twice = np.column_stack([singles[:, 0], singles[:, 0]])
    found = fit_pair(twice, singles[:, 0], method="least_squares", intercept=True)
    assert (found.first, found.second) == pytest.approx((0.5, 0.5))


def test_distance_correlation_is_that_of_statsmodels():
    singles, pair = effects(seed=3)
    assert distance_correlation(singles, pair[:, None]) == pytest.approx(reference(singles, pair))
    assert distance_correlation(singles, np.ones((60, 1))) == 0


def test_measures_of_a_pair():
    singles, pair = effects()
    found = measures_of(
        singles, pair, fit_pair(singles, pair, method="least_squares", intercept=True)
    )
    assert tuple(found) == MEASURES
    assert found["similarity"] == pytest.approx(reference(singles, pair))
    assert found["similarity_singles"] == pytest.approx(reference(singles[:, 0], singles[:, 1]))
    each = [reference(singles[:, one], pair) for one in (0, 1)]
    assert found["equal_contribution"] == pytest.approx(min(each) / max(each))
    still = measures_of(
        singles, pair * 0, fit_pair(singles, pair * 0, method="least_squares", intercept=False)
    )
    assert all(math.isfinite(value) for value in still.values())


def test_ties_share_places_whatever_the_order():
    np.testing.assert_array_equal(top_share([3, 1, 2, 0], 2), [1, 0, 1, 0])
    np.testing.assert_array_equal(top_share([1, 2, 1, 0], 2), [0.5, 1, 0.5, 0])
    assert top_share([1, 1, 1, 1 + 1e-13], 1).tolist() == [0.25] * 4
    assert top_share([1, 2], 5).tolist() == [1, 1]


def test_overlap_without_ties_is_hypergeometric():
    truth, predicted = np.random.default_rng(1).normal(size=(2, 40))
    found = overlap(truth, truth + predicted / 2, 10, permutations=20_000, seed=0)
    assert found.by_chance == 2.5
    expected = hypergeom.sf(found.shared - 1, 40, 10, 10)
    assert found.p_value == pytest.approx(expected, abs=0.01)
    assert overlap(truth, np.zeros(40), 10, permutations=100, seed=0).shared == 2.5
    assert overlap(truth, np.zeros(40), 10, permutations=100, seed=0).p_value == 1
    assert math.isnan(overlap(truth, truth, 21, permutations=10, seed=0).shared)


def test_classes_are_told_by_the_measures_of_gears():
    values = np.array([0.2, 1.0, 1.9])
    assert RULES["synergy"].score(values).argmax() == 2
    assert RULES["suppressor"].score(values).argmax() == 0
    assert RULES["additive"].score(values).argmax() == 1
