import numpy as np
import pytest

from sclong_bench.demo.data import gene_vectors
from sclong_bench.demo.train import StratifiedCells, one_cycle, steps_per_epoch
from sclong_core.pretraining.schedule import learning_rate


def test_the_trainer_sees_the_split_of_the_demonstration(small_demo, small_settings):
    data = small_demo.outcome.data
    cells = StratifiedCells(data, small_demo.folder / "cells.h5ad", small_settings)
    cells.setup("fit")
    assert cells.training_cells.tolist() == np.flatnonzero(data.training).tolist()
    assert cells.validation_cells.tolist() == np.flatnonzero(~data.training).tolist()
    values = data.expression[data.training]
    expressed = (values > 0).any(axis=0)
    means = values.sum(axis=0)[expressed] / (values > 0).sum(axis=0)[expressed]
    assert np.allclose(cells.gene_means[expressed], means, rtol=1e-5)


def test_the_model_starts_from_these_vectors_and_graph(small_demo):
    origin = small_demo.outcome.training
    data = small_demo.outcome.data
    assert origin.steps == 2 * (int(data.training.sum()) // 16)
    assert np.array_equal(data.gene_vectors, gene_vectors(data.expression[data.training], dim=64))


def test_the_rate_rises_and_falls_once(small_demo, small_settings):
    steps = 200
    shape = one_cycle(steps, small_settings.learning_rate)
    rates = [learning_rate(step, shape) for step in range(steps)]
    peak = int(np.argmax(rates))
    assert peak == 10
    assert rates[peak] == pytest.approx(small_settings.learning_rate)
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] < 0.05 * small_settings.learning_rate


def test_both_curves_reach_the_end(small_demo, small_settings):
    training = small_demo.outcome.training
    assert training.held_out_loss[-1][0] == small_settings.epochs
    assert len(training.held_out_loss) == small_settings.epochs
    for curve in (training.training_loss, training.held_out_loss):
        epochs = [epoch for epoch, _ in curve]
        assert epochs == sorted(set(epochs))
        assert curve[-1][1] < curve[0][1]


def test_only_whole_batches_are_steps(small_demo, small_settings):
    assert steps_per_epoch(small_demo.outcome.data, small_settings) == 96 // 16
