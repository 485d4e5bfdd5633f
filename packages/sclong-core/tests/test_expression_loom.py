"""Loom files, which hold genes by cells."""

import h5py
import numpy as np
import pytest

from sclong_core.errors import InputError
from sclong_core.expression import open_cells
from sclong_core.expression.rows import canonical
from sclong_core.testing import make_counts_anndata

CELLS, GENES = 9, 6


@pytest.fixture
def counts():
    return make_counts_anndata(CELLS, GENES).X.toarray()


@pytest.fixture
def path(tmp_path, counts):
    with h5py.File(tmp_path / "cells.loom", "w") as file:
        file.create_dataset("matrix", data=counts.T, chunks=(2, 2), compression="gzip")
        file["layers/spliced"] = counts.T * 2
        file["row_attrs/Accession"] = [f"ENSG{n}" for n in range(GENES)]
        file["row_attrs/Gene"] = np.array([f"G{n}" for n in range(GENES)], dtype="S")
        file["row_attrs/Length"] = np.arange(GENES)
        file["col_attrs/CellID"] = [f"c{n}" for n in range(CELLS)]
        file["col_attrs/PCs"] = np.zeros((CELLS, 3))
    return tmp_path / "cells.loom"


def test_cells_genes_and_their_attributes_are_read(path, counts):
    with open_cells(path) as source:
        assert source.obs.index.to_list() == [f"c{n}" for n in range(CELLS)]
        assert source.var.index.to_list() == [f"G{n}" for n in range(GENES)]
        assert source.var["Accession"].to_list() == [f"ENSG{n}" for n in range(GENES)]
        assert source.var["Length"].to_list() == list(range(GENES))
        assert "PCs" not in source.obs
        np.testing.assert_array_equal(canonical(source.read_rows(3, 7)).toarray(), counts[3:7])


def test_a_layer_is_read(path, counts):
    with open_cells(path, matrix="spliced") as source:
        np.testing.assert_array_equal(source.read_rows(0, CELLS), counts * 2)
        assert set(source.others) == {"matrix"}
    with pytest.raises(InputError, match="no matrix 'unspliced': it holds matrix, layers/spliced"):
        open_cells(path, matrix="unspliced")


def test_names_of_another_number_than_the_cells_are_refused(path):
    with h5py.File(path, "r+") as file:
        del file["col_attrs/CellID"]
        file["col_attrs/CellID"] = ["c0"]
    with pytest.raises(InputError, match="CellID has 1 values for 9 rows"):
        open_cells(path)


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_loompy_wrote_is_read(tmp_path, counts):
    loompy = pytest.importorskip("loompy")
    names = np.array([f"G{n}" for n in range(GENES)])
    cells = np.array([f"c{n}" for n in range(CELLS)])
    loompy.create(str(tmp_path / "cells.loom"), counts.T, {"Gene": names}, {"CellID": cells})
    with open_cells(tmp_path / "cells.loom") as source:
        assert source.var.index.to_list() == names.tolist()
        assert source.obs.index.to_list() == cells.tolist()
        np.testing.assert_array_equal(source.read_rows(0, CELLS), counts)
