"""What the benchmark of harmonising compares does the same."""

import json

import anndata
import numpy as np
import pytest

from benchmarks import harmonise as benchmark
from sclong_data.corpus.corpus import CellCorpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    benchmark.write_cells(folder / "cells.h5ad", 120)
    return folder


def test_both_sides_keep_the_same_cells_with_the_same_values(folder, tmp_path):
    kept = benchmark.with_harmoniser(folder, tmp_path / "corpus")
    assert kept == benchmark.with_scanpy(folder, tmp_path / "cells.h5ad") == 120
    ours = CellCorpus(tmp_path / "corpus").read(np.arange(kept)).toarray()
    theirs = anndata.read_h5ad(tmp_path / "cells.h5ad").X.toarray()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_cells_have_the_shape_of_real_ones(folder):
    adata = anndata.read_h5ad(folder / "cells.h5ad")
    genes = np.diff(adata.X.indptr)
    assert adata.n_vars == benchmark.GENES
    assert 1_000 < np.median(genes) < 4_000


def test_a_table_is_written_of_every_measurement(tmp_path):
    one = {"seconds": 2.0, "processor_seconds": 1.0, "kept": 9, "bytes": 90, "peak": 1e9}
    found = [
        {"cells": 10, "subject": subject, "turn": turn, "loaded": 1e8, **one}
        for subject in benchmark.SUBJECTS
        for turn in range(2)
    ]
    benchmark._write(found, 0.5, tmp_path)
    table = (tmp_path / "harmonise.md").read_text()
    assert "| 10 | scanpy | 2.0 | 5 | 100.00 | 1.00 | 10 |" in table
    assert len(json.loads((tmp_path / "harmonise.json").read_text())["measurements"]) == 6
