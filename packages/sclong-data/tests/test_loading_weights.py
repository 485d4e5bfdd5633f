import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from sclong_data.loading.weights import EpochCells, stratified_weights


@given(
    weights=st.lists(st.floats(0.01, 50), min_size=1, max_size=80),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 99),
)
def test_an_epoch_has_as_many_cells_as_there_are(weights, seed, epoch):
    cells = np.arange(len(weights)) + 7
    drawn = EpochCells(cells, np.array(weights), seed=seed).of(epoch)
    assert drawn.size == len(weights)
    times = np.bincount(drawn - 7, minlength=len(weights))
    expected = np.array(weights) * len(weights) / sum(weights)
    assert (np.abs(times - expected) < 1 + 1e-6).all()
    assert drawn.tolist() == EpochCells(cells, np.array(weights), seed=seed).of(epoch).tolist()


def test_over_epochs_cells_come_as_often_as_they_weigh():
    weights = np.array([0.2, 0.4, 1.0, 2.4] * 10)
    cells = EpochCells(np.arange(40), weights)
    times = sum(np.bincount(cells.of(epoch), minlength=40) for epoch in range(400)) / 400
    assert np.abs(times - weights).max() < 0.1


def test_copies_of_a_cell_stand_apart():
    drawn = EpochCells(np.arange(4), np.array([1.0, 1.0, 1.0, 9.0])).of(0)
    assert (np.diff(drawn[:2]) > 0).all()
    assert EpochCells(np.arange(4)).of(3).tolist() == [0, 1, 2, 3]


def test_groups_get_even_shares():
    labels = pd.Series(pd.Categorical(["a"] * 6 + ["b"] * 3 + [None]))
    even = stratified_weights(labels)
    shares = [even[:6].sum(), even[6:9].sum(), even[9:].sum()]
    assert np.allclose(shares, 1.0)
    assert np.allclose(stratified_weights(labels, power=0), 1.0)
    assert np.allclose(stratified_weights(labels, power=0.5)[0], 6**-0.5)
