"""Blocks of model input: exact whatever their boundaries, the order of genes, type and format."""

import json
import logging
import subprocess
import sys
from itertools import pairwise

import anndata
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sclong_core.config import InputConfig
from sclong_core.errors import InputError
from sclong_core.expression import open_cells, prepare_cells
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

CELLS, GENES = 25, 60
VOCABULARY = GeneVocabulary.from_ids([*reversed(synthetic_gene_ids(50)), "ENSG9"])
CONFIGS = [InputConfig(), InputConfig(target_sum=1e6, maximum=10.0)]


def whole(cells, config=CONFIGS[0], **options):
    prepared = prepare_cells(cells, VOCABULARY, config, **options)
    return prepared.block(0, len(prepared))


def log1p(counts):
    """log1p of counts scaled to 10,000 a cell, in float64."""
    counts = np.asarray(counts, dtype=np.float64)
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, config=st.sampled_from(CONFIGS), logged=st.booleans())
def test_the_order_of_genes_in_the_file_changes_no_bit(seed, config, logged):
    adata = make_counts_anndata(CELLS, GENES, seed=seed)
    if logged:
        adata.X = log1p(adata.X.toarray())
    order = np.random.default_rng(seed).permutation(GENES)
    np.testing.assert_array_equal(whole(adata[:, order], config), whole(adata, config))


@settings(max_examples=30, deadline=None)
@given(seed=seeds, config=st.sampled_from(CONFIGS), cuts=st.sets(st.integers(0, CELLS), max_size=6))
def test_the_boundaries_of_blocks_change_no_bit(seed, config, cuts):
    prepared = prepare_cells(make_counts_anndata(CELLS, GENES, seed=seed), VOCABULARY, config)
    edges = [0, *sorted(cuts), CELLS]
    blocks = [prepared.block(*run) for run in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(blocks), prepared.block(0, CELLS))
    for run, block in zip(pairwise(edges), blocks, strict=True):
        stored = prepared.sparse_block(*run)
        np.testing.assert_array_equal(stored.toarray(), block)
        assert stored.has_canonical_format
        assert stored.data.all()
        assert stored.dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(
    seed=seeds, config=st.sampled_from(CONFIGS[:1]), dtype=st.sampled_from(["float32", "float64"])
)
def test_counts_and_their_log1p_give_the_same(seed, config, dtype):
    adata = make_counts_anndata(CELLS, GENES, seed=seed)
    logged = adata.copy()
    logged.X = log1p(adata.X.toarray()).astype(dtype)
    np.testing.assert_allclose(whole(logged, config), whole(adata, config), rtol=0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, other=seeds)
def test_a_cell_does_not_depend_on_the_others_of_its_file(seed, other):
    one, two = (make_counts_anndata(CELLS, GENES, seed=number) for number in (seed, other))
    two.obs_names = [f"other{number}" for number in range(CELLS)]
    together = anndata.concat([one, two])
    np.testing.assert_array_equal(whole(together)[:CELLS], whole(one))


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "int32", "int64", "float32", "float64"]
)
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("config", CONFIGS, ids=["plain", "maximum"])
def test_type_and_layout_change_no_bit(dtype, layout, config):
    adata = make_counts_anndata(CELLS, GENES)
    expected = whole(adata, config)
    adata.X = layout(adata.X.toarray().astype(dtype))
    np.testing.assert_array_equal(whole(adata, config), expected)


@pytest.fixture
def files(tmp_path):
    """The same counts in every format."""
    adata = make_counts_anndata(CELLS, GENES)
    counts, names, cells = adata.X, adata.var_names.to_list(), adata.obs_names.to_list()
    adata.write_h5ad(tmp_path / "sparse.h5ad")
    adata.write_zarr(tmp_path / "store.zarr")
    by_genes = anndata.AnnData(sparse.csc_matrix(counts), adata.obs, adata.var)
    by_genes.write_h5ad(tmp_path / "by_genes.h5ad")
    anndata.AnnData(counts.toarray(), adata.obs, adata.var).write_h5ad(tmp_path / "dense.h5ad")
    with h5py.File(tmp_path / "cells.loom", "w") as file:
        file["matrix"] = counts.T.toarray()
        file["row_attrs/Gene"], file["col_attrs/CellID"] = names, cells
    with h5py.File(tmp_path / "tenx.h5", "w") as file:
        for key in ("data", "indices", "indptr"):
            file[f"matrix/{key}"] = getattr(counts, key).astype(np.int32)
        file["matrix/shape"], file["matrix/barcodes"] = [GENES, CELLS], cells
        file["matrix/features/id"], file["matrix/features/name"] = names, names
        file["matrix/features/feature_type"] = ["Gene Expression"] * GENES
    return tmp_path, adata


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
def test_the_format_of_the_file_changes_no_bit(files):
    folder, adata = files
    expected = whole(adata)
    paths = sorted(folder.iterdir())
    assert len(paths) == 6
    for path in paths:
        np.testing.assert_array_equal(whole(path), expected, err_msg=path.name)
    backed = anndata.read_h5ad(folder / "sparse.h5ad", backed="r")
    np.testing.assert_array_equal(whole(backed), expected)
    with open_cells(folder / "dense.h5ad") as source:
        np.testing.assert_array_equal(whole(source), expected)


def test_a_block_is_read_by_small_steps(tmp_path, monkeypatch):
    make_counts_anndata(CELLS, GENES).write_h5ad(tmp_path / "cells.h5ad")
    prepared = prepare_cells(tmp_path / "cells.h5ad", VOCABULARY, CONFIGS[0])
    expected = prepared.block(2, 23)
    monkeypatch.setattr("sclong_core.expression.prepared.cells_at_once", lambda genes: 4)
    read = []
    monkeypatch.setattr(
        type(prepared.source),
        "read_rows",
        lambda self, start, stop: (read.append(stop - start), self.reader(start, stop))[1],
    )
    np.testing.assert_array_equal(prepared.block(2, 23), expected)
    assert read == [4, 4, 4, 4, 4, 1]


def test_a_block_has_the_genes_of_the_vocabulary_and_the_names_of_the_cells():
    adata = make_counts_anndata(CELLS, GENES)
    prepared = prepare_cells(adata, VOCABULARY, CONFIGS[0])
    assert len(prepared) == CELLS
    assert prepared.obs_names == tuple(adata.obs_names)
    block = prepared.block(3, 8)
    assert (block.shape, block.dtype) == ((5, 51), np.float32)
    assert not block[:, -1].any()
    assert prepared.block(4, 4).shape == (0, 51)
    for run in ((-1, 3), (5, 3), (0, CELLS + 1)):
        with pytest.raises(IndexError):
            prepared.block(*run)


def test_the_description_is_plain_json(tmp_path):
    adata = make_counts_anndata(CELLS, GENES)
    adata.layers["counts"] = adata.X
    adata.write_h5ad(tmp_path / "cells.h5ad")
    path = tmp_path / "cells.h5ad"
    with prepare_cells(path, VOCABULARY, CONFIGS[1], matrix="counts") as prepared:
        described = json.loads(json.dumps(prepared.describe()))
    assert described["source"] == str(tmp_path / "cells.h5ad")
    assert described["matrix"] == "layers/counts"
    assert described["gene_column"] == "var_names"
    assert (described["genes_matched"], described["genes_unknown"]) == (50, 10)
    assert (described["normalisation"], described["normalisation_forced"]) == ("raw", False)
    assert (described["target_sum"], described["maximum"]) == (1e6, 10.0)
    assert 0 < described["share_of_counts_matched"] < 1


def test_leaving_closes_the_file(tmp_path):
    make_counts_anndata(CELLS, GENES).write_h5ad(tmp_path / "cells.h5ad")
    with prepare_cells(tmp_path / "cells.h5ad", VOCABULARY, CONFIGS[0]) as prepared:
        prepared.block(0, 1)
    with pytest.raises(InputError):
        prepared.block(0, 1)


def test_a_refusal_closes_the_file(tmp_path):
    adata = make_counts_anndata(CELLS, GENES, names=[f"unknown{n}" for n in range(GENES)])
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(InputError):
        prepare_cells(tmp_path / "cells.h5ad", VOCABULARY, CONFIGS[0])
    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        assert "X" in file


def test_importing_does_not_configure_logging():
    script = (
        "import logging, sclong_core.expression\n"
        "assert not logging.getLogger().handlers\n"
        "log = logging.getLogger('sclong')\n"
        "assert not log.handlers and log.level == logging.NOTSET\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert logging.getLogger("sclong").handlers == []
