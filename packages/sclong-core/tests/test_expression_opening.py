"""Opening files of cells: every format gives the same rows, and bad files one clear line."""

import h5py
import numpy as np
import pytest
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression import find_cell_files, open_cells
from sclong_core.expression.rows import canonical
from sclong_core.testing import make_counts_anndata

pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")

CELLS, GENES = 23, 17
ENDINGS = [".h5ad", ".zarr", ".h5", ".loom"]


@pytest.fixture
def counts():
    return make_counts_anndata(CELLS, GENES)


def write(adata, path):
    """Write an AnnData object in the format that the ending of ``path`` names."""
    if path.suffix == ".h5ad":
        adata.write_h5ad(path)
    elif path.suffix == ".zarr":
        adata.write_zarr(path)
    elif path.suffix == ".loom":
        with h5py.File(path, "w") as file:
            file["matrix"] = adata.X.T.toarray()
            file["row_attrs/Gene"] = adata.var_names.to_list()
            file["col_attrs/CellID"] = adata.obs_names.to_list()
    else:
        matrix = sparse.csr_matrix(adata.X)
        with h5py.File(path, "w") as file:
            group = file.create_group("matrix")
            for key in ("data", "indices", "indptr"):
                group[key] = getattr(matrix, key)
            group["shape"] = [adata.n_vars, adata.n_obs]
            group["barcodes"] = adata.obs_names.to_list()
            group["features/id"] = adata.var_names.to_list()
            group["features/name"] = adata.var_names.to_list()
            group["features/feature_type"] = ["Gene Expression"] * adata.n_vars
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_cells(tmp_path, counts, ending):
    with open_cells(write(counts, tmp_path / f"cells{ending}")) as source:
        assert (source.n_cells, source.n_genes) == (CELLS, GENES)
        assert list(source.obs.index) == list(counts.obs_names)
        assert list(source.var.index) == list(counts.var_names)
        found = [canonical(source.read_rows(*run)).toarray() for run in ((0, 9), (9, 9), (9, 23))]
    np.testing.assert_array_equal(np.concatenate(found), counts.X.toarray())


@pytest.mark.parametrize("ending", [".h5ad", ".h5", ".loom"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, counts, ending):
    path = tmp_path / f"cells{ending}"
    counts.write_h5ad(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=rf"cells{ending}: the file cannot be read .*cut short"):
        open_cells(path)


@pytest.mark.parametrize("ending", [".h5ad", ".h5", ".loom"])
@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is an empty file"), (b"<html>", "is not an HDF5 file")]
)
def test_a_file_of_something_else_is_refused(tmp_path, ending, content, message):
    path = tmp_path / f"cells{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"cells{ending} {message}"):
        open_cells(path)


@pytest.mark.parametrize("ending", [".h5", ".loom"])
def test_anndata_under_another_ending_is_refused(tmp_path, counts, ending):
    path = tmp_path / f"cells{ending}"
    counts.write_h5ad(path)
    with pytest.raises(InputError, match=r"is not a (10x|loom) file"):
        open_cells(path)


def test_another_format_under_the_ending_of_anndata_is_refused(tmp_path, counts):
    path = write(counts, tmp_path / "cells.h5")
    with pytest.raises(InputError, match="is not AnnData: it holds matrix"):
        open_cells(path.rename(tmp_path / "cells.h5ad"))


def test_an_unknown_ending_is_refused_with_those_that_are_known(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("a,b\n")
    with pytest.raises(InputError, match=r"cells\.csv has an unknown ending \(known: \.h5ad"):
        open_cells(path)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.h5ad does not exist"):
        open_cells(tmp_path / "absent.h5ad")


def test_a_file_that_may_not_be_read_is_refused(tmp_path, counts, monkeypatch):
    counts.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match=r"cells\.h5ad may not be read"):
        open_cells(tmp_path / "cells.h5ad")


def test_a_folder_that_is_no_zarr_store_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder but not a zarr store"):
        open_cells(tmp_path)


@pytest.mark.parametrize(
    ("kept", "what"), [((slice(0), slice(None)), "cells"), ((slice(None), slice(0)), "genes")]
)
@pytest.mark.parametrize("ending", [".h5ad", ".zarr"])
def test_a_file_without_cells_or_genes_is_refused(tmp_path, counts, ending, kept, what):
    path = write(counts[kept].copy(), tmp_path / f"cells{ending}")
    with pytest.raises(InputError, match=f"cells{ending} holds 0 {what}"):
        open_cells(path)


def test_features_that_are_not_genes_are_left_out_and_announced(tmp_path, counts, caplog):
    caplog.set_level("INFO", "sclong")
    counts.var["feature_types"] = ["Gene Expression"] * 15 + ["Antibody Capture"] * 2
    with open_cells(write(counts, tmp_path / "cells.h5ad")) as source:
        assert source.n_genes == 15
        assert source.read_rows(0, 3).shape == (3, 15)
    assert "skipped features that are not genes: 2 Antibody Capture" in caplog.text


@pytest.mark.parametrize("reader", [open_cells, find_cell_files])
def test_a_link_that_leads_to_no_file_is_said(tmp_path, reader):
    (tmp_path / "a.h5ad").symlink_to(tmp_path / "b.h5ad")
    with pytest.raises(InputError, match=r"a\.h5ad is a link that leads nowhere \(to .*b\.h5ad\)"):
        reader(tmp_path / "a.h5ad")
    (tmp_path / "b.h5ad").symlink_to(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=r"a\.h5ad is a loop of links"):
        reader(tmp_path / "a.h5ad")
