"""The benchmark of storages: what it writes is read back, and a run is written down."""

import json

import numpy as np
import pytest

from benchmarks.storage import main, prepare
from benchmarks.storage_cells import TYPES, labels_of, made_up_cells
from benchmarks.storage_formats import WRITERS, installed
from benchmarks.storage_loaders import BATCH, CANDIDATES
from benchmarks.storage_worker import entropy, mixing

GENES = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("storage")
    prepare(folder, 300, GENES)
    return folder


def test_made_up_cells_look_like_real_ones():
    ((start, block),) = made_up_cells(30)
    assert (start, block.shape) == (0, (30, 27_874))
    assert 1_500 < block.nnz / 30 < 3_500
    assert np.allclose(block.max(axis=1).toarray(), 10)
    assert len(set(labels_of(100_000).tolist())) == TYPES


def test_every_storage_that_is_installed_is_written_once(folder):
    done = json.loads((folder / "cells.json").read_text())
    assert set(done["storages"]) == {
        name for name, (_, module) in WRITERS.items() if installed(module)
    }
    assert prepare(folder, 300, GENES) == done
    with pytest.raises(SystemExit, match="holds 300 cells"):
        prepare(folder, 200, GENES)


@pytest.mark.parametrize("name", ["sclong", "sclong-masks", "parquet", "npz"])
def test_each_way_to_read_gives_the_cells(folder, name):
    candidate = CANDIDATES[name]
    if not all(installed(module.partition(".")[0]) for module in candidate.modules):
        pytest.skip(f"{candidate.name} is not installed")
    ((_, expected),) = made_up_cells(300, GENES)
    seen = []
    for dense, numbers in candidate.read(folder / candidate.storage, GENES, 0):
        kept = numbers >= 0
        assert dense.shape == (numbers.size, GENES)
        assert np.array_equal(dense.numpy()[kept], expected[numbers[kept]].toarray())
        seen += numbers[kept].tolist()
    assert sorted(seen) == list(range(300))


def test_mixing_is_one_for_random_and_nothing_for_sorted_cells():
    labels = labels_of(100_000)
    random = np.random.default_rng(3)
    shuffled = [random.integers(0, labels.size, BATCH) for _ in range(100)]
    assert abs(mixing(shuffled, labels) - 1) < 0.02
    assert mixing([np.arange(BATCH)], labels) == 0
    assert entropy(np.array([1, 1, 2, 2])) == 1.0


@pytest.mark.slow
def test_a_run_is_written_down(folder, tmp_path):
    words = ["--folder", str(folder), "--cells", "300", "--genes", str(GENES)]
    options = ["--seconds", "0.2", "--candidates", "sclong", "npz", "--workers", "1"]
    assert main([*words, *options, "--output", str(tmp_path)]) == 0
    report = (tmp_path / "storage.md").read_text()
    assert "| sclong-data |" in report
    assert "sclong-data beside one file a cell" in report
    assert (tmp_path / "storage.svg").exists()
