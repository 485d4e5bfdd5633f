"""Types told by nearest neighbours."""

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

from sclong_core.errors import InputError
from sclong_tasks.metrics.nearest import ToldTypes, tell_types


def clouds(cells=60, types=3, spread=0.1, seed=0):
    draw = np.random.default_rng(seed)
    kinds = np.arange(cells) % types
    return np.eye(types)[kinds] + draw.normal(size=(cells, types)) * spread, kinds.astype(str)


def test_separate_types_are_told_without_error():
    told = tell_types(*clouds())
    assert told.macro_f1() == told.accuracy() == told.left_out_macro_f1() == 1


def test_the_length_of_a_vector_does_not_matter():
    values, kinds = clouds(spread=0.5)
    longer = values * np.random.default_rng(1).uniform(0.1, 9, size=(len(values), 1))
    np.testing.assert_array_equal(
        tell_types(values, kinds).folds_sn, tell_types(longer, kinds).folds_sn
    )


def test_the_vote_is_that_of_scikit_learn_where_nothing_ties():
    values, kinds = clouds(cells=90, types=2, spread=0.8)
    told = tell_types(values, kinds, neighbours=15)
    expected = []
    for cell in range(len(values)):
        others = np.arange(len(values)) != cell
        voter = KNeighborsClassifier(15, metric="cosine").fit(values[others], kinds[others])
        expected.append(int(voter.predict(values[[cell]])[0]))
    assert told.left_out_n.tolist() == expected  # 15 votes for two types never tie


def test_a_tie_goes_to_the_nearest_cell():
    angles = np.array([0.0, 0.1, 0.3, 0.2, 0.4, 3.0, 3.1, 3.2, 3.3, 3.4])
    values = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    kinds = np.array(["a", "a", "b", "b", "b", "a", "a", "b", "b", "a"])
    told = tell_types(values, kinds, neighbours=2, folds=2)
    assert told.left_out_n[0] == 0  # one vote for each type: "a" is nearer


def test_a_rare_type_counts_as_much_as_a_frequent_one():
    draw = np.random.default_rng(0)
    kinds = np.array(["many"] * 95 + ["few"] * 5)
    told = tell_types(draw.normal(size=(100, 4)), kinds)
    assert told.accuracy() > 0.9
    assert told.macro_f1() < 0.6


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    truth, told = draw.integers(6, size=40), draw.integers(7, size=40)
    found = ToldTypes(truth, told, np.stack([told, truth]))
    kinds = np.unique(truth)
    expected = f1_score(truth, told, labels=kinds, average="macro", zero_division=0)
    assert found.left_out_macro_f1() == pytest.approx(expected)
    assert found.left_out_accuracy() == pytest.approx((truth == told).mean())
    assert found.macro_f1() == pytest.approx((expected + 1) / 2)


def test_chance_is_found_in_noise():
    draw = np.random.default_rng(0)
    told = tell_types(draw.normal(size=(400, 5)), draw.integers(4, size=400).astype(str))
    assert 0.15 < told.macro_f1() < 0.35


def test_values_that_are_not_numbers_are_refused():
    values, kinds = clouds()
    values[3, 0] = np.nan
    with pytest.raises(InputError, match="row 3"):
        tell_types(values, kinds)
