"""h5ad files that are damaged, or say that they hold more than they do."""

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from sclong_core.errors import InputError
from sclong_tasks.cells import read_h5ad


@pytest.fixture
def path(tmp_path):
    cells = anndata.AnnData(sparse.csr_matrix(np.eye(4, dtype="f4")))
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def out_of_place(file):
    file["X/indices"][0] = 10**6


def enormous(file):
    del file["X/data"]
    file["X"].create_dataset("data", shape=(2**40,), dtype="f4", chunks=(1024,))


def elsewhere(file):
    del file["X"]
    file["X"] = h5py.ExternalLink("other.h5", "X")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (out_of_place, r"no readable h5ad file: \S"),
        (enormous, "is said to hold .* damaged"),
        (elsewhere, r"X is a link to other\.h5"),
    ],
)
def test_matrices_that_lie_are_refused(path, change, said):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=said):
        read_h5ad(path)


def test_a_link_within_the_file_is_followed(path):
    with h5py.File(path, "r+") as file:
        file.move("X", "uns/matrix")
        file["X"] = h5py.SoftLink("/uns/matrix")
    assert read_h5ad(path).X.sum() == 4


def test_a_damaged_table_of_symbols_is_one_line(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b"SNOD", b"SNOX"))
    with pytest.raises(InputError, match="read"):
        read_h5ad(path)


def test_values_may_be_beside_an_empty_matrix(tmp_path):
    path = tmp_path / "r.h5ad"
    anndata.AnnData(shape=(3, 0), obsm={"r": np.ones((3, 2))}).write_h5ad(path)
    assert read_h5ad(path, needs_genes=False).obsm["r"].shape == (3, 2)
    with pytest.raises(InputError, match="0 genes"):
        read_h5ad(path)
