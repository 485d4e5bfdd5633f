from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sclong_core.config import InputConfig
from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.expression import prepare_cells
from sclong_core.pretraining.batches import (
    CellDataset,
    EpochBatches,
    TrainingLoader,
    cells_digest,
    epoch_order,
    runs,
    split_cells,
    validation_loader,
)
from sclong_core.pretraining.masking import MaskingConfig, draw_masks
from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from tests.support.training import write_cells

CELLS = np.arange(3, 50)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = write_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")
    vocabulary = GeneVocabulary.from_ids(synthetic_gene_ids(40))
    with prepare_cells(path, vocabulary, InputConfig()) as cells:
        return CellDataset(str(path), cells, None, MaskingConfig())


def batches_of(rank=0, ranks=1, batch_size=4, epoch=0):
    batches = EpochBatches(CELLS, batch_size=batch_size, seed=0, rank=rank, ranks=ranks)
    batches.set_epoch(epoch)
    return batches


def loader_of(dataset, workers=0, **settings):
    return TrainingLoader(dataset, batches_of(**settings), workers=workers, data_digest="x")


def cells_in(loader):
    return [batch["cell"].tolist() for batch in loader]


@given(ranks=st.sampled_from([1, 2, 4]), epoch=st.integers(0, 5))
def test_ranks_share_the_batches_of_one_process(ranks, epoch):
    alone = list(batches_of(batch_size=4, epoch=epoch))
    together = [
        list(batches_of(rank, ranks, batch_size=4 // ranks, epoch=epoch)) for rank in range(ranks)
    ]
    assert [[*chain(*parts)] for parts in zip(*together, strict=True)] == alone
    seen = [cell for batch in alone for _, cell in batch]
    assert len(set(seen)) == len(seen) == 44
    assert all(number == epoch for batch in alone for number, _ in batch)


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = {
        tuple(epoch_order(CELLS, seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(orders) == 4
    assert all(sorted(order) == CELLS.tolist() for order in orders)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [1, 5, 11])
def test_a_loader_goes_on_at_the_very_next_batch(dataset, workers, done):
    straight = cells_in(loader_of(dataset, epoch=2))
    first = loader_of(dataset, workers=workers, epoch=2)
    batches = iter(first)
    before = [next(batches)["cell"].tolist() for _ in range(done)]
    state = first.state_dict()
    resumed = loader_of(dataset, workers=2 - workers)
    resumed.load_state_dict(state)
    iterator = iter(resumed)
    resumed.sampler.set_epoch(2)  # as Lightning does, after it made the iterator
    after = [batch["cell"].tolist() for batch in iterator]
    assert before + after == straight
    assert len(resumed) == len(straight)
    resumed.sampler.set_epoch(3)
    assert cells_in(resumed) == cells_in(loader_of(dataset, epoch=3))


def test_the_state_of_another_run_is_refused(dataset):
    state = loader_of(dataset).state_dict()
    for name, value in {"cells": "y", "seed": 5, "global_batch": 8}.items():
        with pytest.raises(CheckpointError, match=name):
            loader_of(dataset).load_state_dict({**state, name: value})


def test_too_few_cells_for_one_batch_are_refused():
    with pytest.raises(ConfigError, match="do not fill one batch of 24 on each of 2 ranks"):
        batches_of(ranks=2, batch_size=24)


def test_a_batch_holds_expression_and_the_masks_of_its_cells(dataset):
    batch = dataset.__getitems__([(3, 7), (3, 2)])
    assert batch["cell"].tolist() == [7, 2]
    assert batch["expression"].dtype == torch.float32
    assert batch["expression"].shape == batch["masked"].shape == (2, 40)
    for row, cell in enumerate([7, 2]):
        alone = dataset[3, cell]
        expected = draw_masks(
            alone["expression"][0].numpy(), config=MaskingConfig(), epoch=3, cell=cell
        )
        for name, mask in zip(("masked", "scored"), expected, strict=True):
            assert torch.equal(batch[name][row], torch.from_numpy(mask))
            assert torch.equal(alone[name][0], batch[name][row])
        assert torch.equal(alone["expression"][0], batch["expression"][row])


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_validation_sees_each_cell_once_in_as_many_batches_on_every_rank(dataset, ranks):
    cells = np.array([4, 9, 11, 30, 41])
    loaders = [
        validation_loader(dataset, cells, batch_size=2, rank=rank, ranks=ranks, workers=0)
        for rank in range(ranks)
    ]
    assert len({len(loader) for loader in loaders}) == 1
    seen, scored = [], 0
    for loader in loaders:
        for batch in loader:
            kept = batch["cell"] >= 0
            seen += batch["cell"][kept].tolist()
            scored += int(batch["scored"].sum())
            assert not batch["scored"][~kept].any()
    assert sorted(seen) == cells.tolist()
    whole = validation_loader(dataset, cells, batch_size=5, rank=0, ranks=1, workers=0)
    assert scored == int(next(iter(whole))["scored"].sum())


def test_the_split_follows_the_names_of_cells():
    names = [f"cell{number}" for number in range(400)]
    training, held_out = split_cells(names, 0.1, seed=0)
    assert sorted([*training, *held_out]) == list(range(400))
    assert 20 < held_out.size < 60
    moved = split_cells(names[::-1], 0.1, seed=0)[1]
    assert {names[cell] for cell in held_out} == {names[::-1][cell] for cell in moved}
    assert split_cells(names, 0.1, seed=1)[1].tolist() != held_out.tolist()
    assert split_cells(names, 0.0, seed=0)[1].size == 0
    assert split_cells(names[:3], 1e-9, seed=0)[1].size == 1


def test_consecutive_numbers_are_read_together():
    assert runs([3, 4, 5, 9, 8, 7]) == [(3, 6), (9, 10), (8, 9), (7, 8)]
    assert cells_digest(["a", "b"]) != cells_digest(["b", "a"])
