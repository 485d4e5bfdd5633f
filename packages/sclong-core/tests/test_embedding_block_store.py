import logging
import os

import numpy as np
import pytest

from sclong_core import InputError, ScLongError
from sclong_core.embedding import block_store
from sclong_core.embedding.block_store import BlockStore, partial_folder, remove_leftover

WORK = {"checkpoint": "abc", "pool": "mean", "cells": 20}
VALUES = np.arange(60, dtype=np.float32).reshape(20, 3)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(block_store, "BLOCK_CELLS", 8)


@pytest.fixture
def folder(tmp_path):
    return partial_folder(tmp_path / "cells.h5ad")


def open_store(folder, *, work=WORK, resume=False, batch_size=4):
    return BlockStore.open(folder, work, width=3, batch_size=batch_size, resume=resume)


def fill(store, numbers):
    for number in numbers:
        start, stop = store.ranges()[number]
        store.write(number, VALUES[start:stop])


def content(store):
    return np.concatenate([values for _, values in store.read()])


def test_blocks_come_back_in_the_order_of_the_cells(folder):
    store = open_store(folder)
    assert store.ranges() == [(0, 8), (8, 16), (16, 20)]
    fill(store, [2, 0, 1])
    assert not store.missing()
    np.testing.assert_array_equal(content(store), VALUES)
    assert [cells for cells, _ in store.read()] == [slice(0, 8), slice(8, 16), slice(16, 20)]
    store.remove()
    assert not folder.exists()


def test_a_block_is_whole_batches(folder):
    assert open_store(folder, batch_size=5).ranges()[0] == (0, 10)


def test_resuming_keeps_blocks_and_their_size(folder):
    store = open_store(folder)
    fill(store, [0, 2])
    store.close()
    again = open_store(folder, resume=True, batch_size=5)
    assert again.missing() == [1]
    fill(again, [1])
    np.testing.assert_array_equal(content(again), VALUES)


def test_without_resuming_old_blocks_are_announced_and_removed(folder, caplog):
    store = open_store(folder)
    fill(store, [0])
    store.close()
    assert open_store(folder).missing() == [0, 1, 2]
    assert "replacing unfinished work of an earlier run" in caplog.text


def test_other_work_is_refused_and_what_differs_is_named(folder):
    store = open_store(folder)
    fill(store, [0])
    store.close()
    with pytest.raises(InputError, match=r"pool was mean and is gene_sums.*without --resume"):
        open_store(folder, work={**WORK, "pool": "gene_sums"}, resume=True)
    assert open_store(folder, resume=True).missing() == [1, 2]


@pytest.mark.fault
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_block_is_announced_and_missing(folder, caplog, damage):
    store = open_store(folder)
    fill(store, [0, 1, 2])
    path = next(folder.glob("block-00000001.*"))
    whole = path.read_bytes()
    path.write_bytes({"flip": whole[:-1] + b"\xff", "cut": whole[:-4], "empty": b""}[damage])
    with pytest.raises(InputError, match="block 1 is missing or damaged"):
        content(store)
    store.close()
    assert open_store(folder, resume=True).missing() == [1]
    assert "block 1 is damaged: computing it again" in caplog.text


def test_half_written_blocks_are_removed(folder, caplog):
    caplog.set_level(logging.INFO, logger="sclong")
    store = open_store(folder)
    fill(store, [0])
    store.close()
    half = folder / ".block-00000001.0a.tmp-999.npy"
    half.write_bytes(b"\x93NUMPY")
    assert open_store(folder, resume=True).missing() == [1, 2]
    assert not half.exists()
    assert "1 of 3 blocks are finished" in caplog.text


def test_a_second_run_is_refused_with_the_process_of_the_first(folder):
    store = open_store(folder)
    with pytest.raises(InputError, match=f"being worked on by process {os.getpid()}"):
        open_store(folder, resume=True)
    with pytest.raises(InputError, match="being worked on"):
        remove_leftover(folder)
    fill(store, [0])
    store.close()
    remove_leftover(folder)
    assert not folder.exists()


def test_a_folder_of_something_else_is_never_cleared(folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match=r"thesis\.txt, which is not part of unfinished work"):
        open_store(folder)
    assert (folder / "thesis.txt").read_text() == "precious"


def test_an_unreadable_state_counts_as_none(folder, caplog):
    fill(open_store(folder), [0])
    (folder / "state.json").write_text("{")
    # The store above is still open in this process: its lock is that of a run that goes on.
    (folder / "lock").unlink()
    assert open_store(folder, resume=True).missing() == [0, 1, 2]


def test_a_store_without_blocks_leaves_no_folder(folder):
    open_store(folder).close()
    assert not folder.exists()


@pytest.mark.parametrize(
    "values",
    [VALUES[:7], VALUES[:8, :2], VALUES[:8].astype(np.float64)],
    ids=["cells", "width", "type"],
)
def test_a_block_of_another_shape_is_refused(folder, values):
    with pytest.raises(ScLongError, match="instead of float32"):
        open_store(folder).write(0, values)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused_with_its_cell(folder, value):
    values = VALUES[8:16].copy()
    values[2, 1] = value
    store = open_store(folder)
    with pytest.raises(ScLongError, match="embedding of cell 11 is not finite"):
        store.write(1, values)
    assert 1 in store.missing()


def test_another_process_joins_and_writes(folder):
    store = open_store(folder)
    joined = BlockStore.join(folder, cells=20, width=3)
    fill(joined, [1])
    joined.close()
    assert store.missing() == [0, 2]
    with pytest.raises(InputError, match="shared folder"):
        BlockStore.join(folder.with_name("elsewhere"), cells=20, width=3)
