"""AnnData objects as sources: in memory, backed, views, and every number type and layout."""

from itertools import product

import anndata
import numpy as np
import pytest
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression import source_from_anndata
from sclong_core.expression.rows import canonical
from sclong_core.testing import make_counts_anndata

CELLS, GENES = 20, 7
TYPES = ["bool", "uint8", "int8", "uint16", "int32", "int64", "float32", "float64"]


@pytest.fixture
def adata():
    adata = make_counts_anndata(CELLS, GENES)
    adata.raw = make_counts_anndata(CELLS, GENES + 3, seed=1)
    adata.layers["counts"] = adata.X * 2
    return adata


def rows(source, start=0, stop=None):
    stop = source.n_cells if stop is None else stop
    return canonical(source.read_rows(start, stop)).toarray()


@pytest.mark.parametrize(
    ("dtype", "layout"),
    [*product(TYPES, [np.asarray, sparse.csr_matrix, sparse.csc_matrix]), ("float16", np.asarray)],
)
def test_every_number_type_and_layout_is_read(adata, dtype, layout):
    expected = adata.X.toarray().astype(dtype)
    held = anndata.AnnData(layout(expected))
    np.testing.assert_array_equal(rows(source_from_anndata(held), 3, 11), expected[3:11])


@pytest.mark.parametrize("layer", [None, "raw", "counts"])
@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("view", [False, True])
def test_matrices_of_views_and_backed_objects_are_read(tmp_path, adata, layer, backed, view):
    expected = {None: adata.X, "raw": adata.raw.X, "counts": adata.layers["counts"]}[layer]
    expected = expected.toarray()
    if backed:
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    if view:
        adata = adata[5:15, [4, 0, 2]]
        expected = expected[5:15] if layer == "raw" else expected[5:15][:, [4, 0, 2]]
    source = source_from_anndata(adata, matrix=layer)
    assert source.n_genes == expected.shape[1]
    np.testing.assert_array_equal(rows(source), expected)
    np.testing.assert_array_equal(rows(source, 2, 5), expected[2:5])


def test_a_lazy_matrix_is_read_by_runs(adata):
    dask = pytest.importorskip("dask.array")
    expected = adata.X.toarray()
    adata.layers["lazy"] = dask.from_array(expected, chunks=(4, GENES))
    source = source_from_anndata(adata, matrix="lazy")
    np.testing.assert_array_equal(rows(source, 3, 11), expected[3:11])


def test_a_backed_matrix_stored_by_genes_is_turned(tmp_path, adata):
    expected = adata.X.toarray()
    adata.X = sparse.csc_matrix(adata.X)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    np.testing.assert_array_equal(rows(source_from_anndata(backed)), expected)


def test_the_object_is_not_changed(adata):
    adata.X = sparse.csr_matrix(
        (np.ones(4), np.array([2, 1, 1, 0]), np.array([0, 3, *[4] * (CELLS - 1)])), (CELLS, GENES)
    )
    before = adata.X.copy()
    assert rows(source_from_anndata(adata))[0, :3].tolist() == [0, 2, 1]
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(adata.X, part), getattr(before, part))


@pytest.mark.parametrize(
    ("note", "logged"), [(None, False), ({}, True), ({"base": None}, True), ({"base": 2}, False)]
)
def test_the_note_that_values_are_logged_is_read(adata, note, logged):
    if note is not None:
        adata.uns["log1p"] = note
    assert source_from_anndata(adata).logged is logged
    assert source_from_anndata(adata, matrix="counts").logged is False


def test_an_object_without_its_matrix_is_refused(adata):
    del adata.X
    with pytest.raises(InputError, match="no matrix 'X': it holds raw, layers/counts"):
        source_from_anndata(adata)


def test_complex_numbers_are_refused(adata):
    adata.layers["phases"] = adata.X.toarray() * 1j
    with pytest.raises(InputError, match="layers/phases holds complex"):
        source_from_anndata(adata, matrix="phases")


def test_an_object_without_cells_is_refused(adata):
    with pytest.raises(InputError, match="AnnData object holds 0 cells"):
        source_from_anndata(adata[:0])
