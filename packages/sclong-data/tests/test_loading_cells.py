import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sclong_data.loading.cells import (
    MASKED,
    SCORED,
    MaskedCells,
    dense_batch,
    ragged_batch,
    small_genes,
)

GENES = 7


def made_up(cells: int, seed: int) -> MaskedCells:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, GENES + 1, size=cells)
    chosen = [np.sort(generator.permutation(GENES)[:length]) for length in lengths]
    genes = np.concatenate([*chosen, np.zeros(0, dtype=int)]).astype(np.int32)
    flags = generator.choice([0, SCORED, SCORED | MASKED], size=genes.size)
    return MaskedCells(
        np.arange(cells, dtype=np.int64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        generator.random(genes.size, dtype=np.float32) + 1,
        small_genes(genes, GENES),
        flags.astype(np.uint8),
    )


@given(st.integers(1, 6), st.integers(0, 99))
def test_a_dense_and_a_ragged_batch_hold_the_same(cells, seed):
    some = made_up(cells, seed)
    dense, ragged = dense_batch(some, GENES), ragged_batch(some, GENES)
    for cell in range(cells):
        values = slice(ragged["offsets"][cell], ragged["offsets"][cell + 1])
        genes = ragged["gene"][values]
        for name in ("expression", "masked", "scored"):
            row = torch.zeros(GENES, dtype=dense[name].dtype)
            row[genes] = ragged[name][values]
            assert torch.equal(dense[name][cell], row)
    assert bool((dense["scored"] | ~dense["masked"]).all())


@given(st.integers(2, 6), st.data())
def test_runs_that_are_joined_are_the_whole(cells, data):
    some = made_up(cells, seed=cells)
    cut = data.draw(st.integers(1, cells - 1))
    joined = MaskedCells.joined([some[0:cut], some[cut:cells]])
    sent = MaskedCells.from_tensors(joined.to_tensors())
    whole = dense_batch(some, GENES)
    assert len(sent) == cells
    assert all(torch.equal(value, whole[name]) for name, value in dense_batch(sent, GENES).items())


@pytest.mark.parametrize(("genes", "kind"), [(65_535, np.uint16), (65_536, np.int32)])
def test_positions_take_two_bytes_where_they_fit(genes, kind):
    assert small_genes(np.array([genes - 1], dtype=np.int32), genes).dtype == kind
