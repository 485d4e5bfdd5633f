"""AnnData on disk: matrices, layouts, what is never loaded, and damage."""

import json
import pickle
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import zarr
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression import open_cells
from sclong_core.expression.rows import canonical
from sclong_core.testing import make_counts_anndata

pytestmark = [
    pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning"),
    pytest.mark.filterwarnings("ignore:zarr v3 autosharding:UserWarning"),
]

CELLS, GENES = 40, 12


@pytest.fixture
def adata():
    adata = make_counts_anndata(CELLS, GENES)
    adata.raw = make_counts_anndata(CELLS, GENES + 3, seed=1)
    adata.layers["counts"] = adata.X * 2
    return adata


def all_rows(source):
    return canonical(source.read_rows(0, source.n_cells)).toarray()


@pytest.mark.parametrize("writer", ["write_h5ad", "write_zarr"])
@pytest.mark.parametrize(
    ("layer", "matrix"), [(None, "X"), ("X", "X"), ("raw", "raw"), ("counts", "layers/counts")]
)
def test_the_asked_for_matrix_is_read(tmp_path, adata, writer, layer, matrix):
    path = tmp_path / ("cells.h5ad" if writer == "write_h5ad" else "cells.zarr")
    getattr(adata, writer)(path)
    expected = {"X": adata.X, "raw": adata.raw.X, "layers/counts": adata.layers["counts"]}[matrix]
    with open_cells(path, matrix=layer) as source:
        assert source.matrix == matrix
        assert source.n_genes == expected.shape[1]
        assert set(source.others) == {"X", "raw", "layers/counts"} - {matrix}
        np.testing.assert_array_equal(all_rows(source), expected.toarray())


def test_an_absent_layer_is_refused_with_those_that_are_there(tmp_path, adata):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=r"no matrix 'spliced': it holds X, raw, layers/counts"):
        open_cells(tmp_path / "cells.h5ad", matrix="spliced")


@pytest.mark.parametrize("writer", ["write_h5ad", "write_zarr"])
def test_a_matrix_stored_by_genes_is_loaded_once_and_announced(tmp_path, adata, writer, caplog):
    caplog.set_level("INFO", "sclong")
    path = tmp_path / ("cells.h5ad" if writer == "write_h5ad" else "cells.zarr")
    expected = adata.X.toarray()
    adata.X = sparse.csc_matrix(adata.X)
    getattr(adata, writer)(path)
    with open_cells(path) as source:
        np.testing.assert_array_equal(all_rows(source), expected)
    assert "stored by genes (CSC): loading all of it" in caplog.text


@pytest.mark.parametrize("layout", [sparse.csr_matrix, np.asarray])
def test_a_file_is_read_by_slices_only(tmp_path, adata, layout, monkeypatch):
    adata.X = layout(adata.X.toarray())
    adata.write_h5ad(tmp_path / "cells.h5ad")
    largest = []
    read = h5py.Dataset.__getitem__

    def counting(self, *key, **options):
        found = read(self, *key, **options)
        if self.name in {"/X", "/X/data", "/X/indices"}:
            largest.append(np.size(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    with open_cells(tmp_path / "cells.h5ad") as source:
        assert not largest
        for start in range(0, CELLS, 4):
            source.read_rows(start, start + 4)
    assert max(largest) <= 4 * GENES


@pytest.mark.parametrize("dtype", ["|b1", "<u1", "<i1", ">i4", "<u8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("dense", [False, True])
def test_every_number_type_is_read(tmp_path, adata, dtype, dense):
    if dense:
        adata.X = adata.X.toarray()
    expected = np.asarray(adata.X if dense else adata.X.toarray())
    adata.write_h5ad(tmp_path / "cells.h5ad")
    damage(tmp_path / "cells.h5ad", "X" if dense else "X/data", lambda x: x.astype(dtype))
    if not dense:
        damage(tmp_path / "cells.h5ad", "X/indices", lambda x: x.astype(">i2"))
    with open_cells(tmp_path / "cells.h5ad") as source:
        np.testing.assert_array_equal(all_rows(source), expected.astype(dtype))


@pytest.mark.parametrize("note", [{}, {"base": None}, {"base": float(np.e)}])
def test_the_note_that_values_are_logged_is_read(tmp_path, adata, note):
    adata.uns["log1p"] = note
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert open_cells(tmp_path / "cells.h5ad").logged
    assert not open_cells(tmp_path / "cells.h5ad", matrix="counts").logged


def test_a_note_of_another_base_is_not_taken_for_the_natural_logarithm(tmp_path, adata):
    adata.uns["log1p"] = {"base": 2}
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert not open_cells(tmp_path / "cells.h5ad").logged


@pytest.mark.parametrize("values", [np.complex64(1), "text"])
def test_values_that_are_no_numbers_are_refused(tmp_path, adata, values):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        del file["X"]
        file["X"] = np.full((CELLS, GENES), values, dtype=object if values == "text" else None)
    with pytest.raises(InputError, match=r"X holds (complex64|object) values"):
        open_cells(tmp_path / "cells.h5ad")


def damage(path, key, change):
    with h5py.File(path, "r+") as file:
        values = file[key][:]
        notes = dict(file[key].attrs)
        del file[key]
        file[key] = change(values)
        file[key].attrs.update(notes)


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        ("X/indptr", lambda x: x[::-1], "does not rise"),
        ("X/indptr", lambda x: x[:-1], "entries for 40 rows"),
        ("X/data", lambda x: x[:-5], "differ in length"),
        ("X/indices", lambda x: x + 100, "is outside 0 to 11"),
        ("X/indices", lambda x: x - 100, "is outside 0 to 11"),
    ],
)
def test_a_damaged_sparse_matrix_is_refused(tmp_path, adata, key, change, reason):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    damage(tmp_path / "cells.h5ad", key, change)
    with pytest.raises(InputError, match=rf"cells\.h5ad: .*{reason}.*damaged"):
        all_rows(open_cells(tmp_path / "cells.h5ad"))


@pytest.mark.parametrize("key", ["obs", "var", "obs/_index", "var/_index"])
def test_what_this_anndata_does_not_read_is_said_in_one_line(tmp_path, adata, key):
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file[key].attrs["encoding-type"] = "of a later version"
    with pytest.raises(InputError, match=rf"cells\.h5ad: {key[:3]} is stored .* newer anndata"):
        open_cells(path)


@pytest.mark.fault
def test_a_damaged_block_is_refused_with_its_cells(tmp_path, adata):
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        place = file["X/data"].id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(place.byte_offset)
        file.write(b"\xff" * place.size)
    with pytest.raises(InputError, match=r"cells\.h5ad: cells 3 to 9 of X cannot be read"):
        open_cells(path).read_rows(3, 9)


def test_a_matrix_of_another_shape_than_its_cells_and_genes_is_refused(tmp_path, adata):
    adata.X = adata.X.toarray()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    damage(tmp_path / "cells.h5ad", "X", lambda x: x[:-1])
    with pytest.raises(InputError, match="that of obs and var"):
        open_cells(tmp_path / "cells.h5ad")


@pytest.mark.parametrize("key", ["data", "indices", "indptr"])
@pytest.mark.parametrize("sharded", [False, True])
def test_a_zarr_store_that_lacks_a_chunk_is_refused(tmp_path, adata, key, sharded):
    adata.write_zarr(tmp_path / "cells.zarr")
    rewrite_in_chunks(tmp_path / "cells.zarr", sharded=sharded)
    chunk = sorted(path for path in (tmp_path / "cells.zarr/X" / key).rglob("c/*"))[1]
    chunk.unlink()
    with pytest.raises(InputError, match=f"X cannot be read .chunks of {key} are missing"):
        open_cells(tmp_path / "cells.zarr")


@pytest.mark.parametrize("sharded", [False, True])
def test_a_whole_zarr_store_in_many_chunks_is_read(tmp_path, adata, sharded):
    adata.write_zarr(tmp_path / "cells.zarr")
    rewrite_in_chunks(tmp_path / "cells.zarr", sharded=sharded)
    np.testing.assert_array_equal(all_rows(open_cells(tmp_path / "cells.zarr")), adata.X.toarray())


def rewrite_in_chunks(path, *, sharded):
    """Store X as zarr version 3 in chunks of 5 values, or shards of 2 such chunks."""
    plain = zarr.open_group(path, mode="r")
    values = {key: plain[f"X/{key}"][:] for key in ("data", "indices", "indptr")}
    store = anndata.AnnData(
        sparse.csr_matrix((values["data"], values["indices"], values["indptr"]))
    )
    group = zarr.open_group(path, mode="w", zarr_format=3)
    for key, frame in (("obs", store.obs), ("var", store.var)):
        anndata.io.write_elem(group, key, frame)
    matrix = group.create_group("X")
    matrix.attrs.update({"encoding-type": "csr_matrix", "shape": list(store.shape)})
    for key, array in values.items():
        matrix.create_array(key, data=array, chunks=(5,), shards=(10,) if sharded else None)


def test_a_zarr_matrix_with_all_counts_on_its_first_gene_is_whole(tmp_path):
    counts = np.zeros((4, 3), dtype=np.float32)
    counts[:, 0] = 1
    anndata.AnnData(sparse.csr_matrix(counts)).write_zarr(tmp_path / "cells.zarr")
    np.testing.assert_array_equal(all_rows(open_cells(tmp_path / "cells.zarr")), counts)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_a_pickle_in_a_zarr_store_is_refused_and_never_opened(tmp_path, adata, place, monkeypatch):
    pickles = pytest.importorskip("numcodecs.pickles")
    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    adata.write_zarr(tmp_path / "cells.zarr")
    index = tmp_path / "cells.zarr/obs/_index"
    described = json.loads((index / ".zarray").read_text())
    codec = {"id": "pickle", "protocol": 4}
    described["filters"] = [{"id": "vlen-utf8"}, *([codec] if place == "filters" else [])]
    described["compressor"] = codec if place == "compressor" else None
    (index / ".zarray").write_text(json.dumps(described))
    for consolidated in tmp_path.glob("cells.zarr/.zmetadata"):
        consolidated.unlink()
    for chunk in index.glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Trap(tmp_path / "opened")))
    with pytest.raises(InputError, match="obs/_index is stored as a Python pickle"):
        open_cells(tmp_path / "cells.zarr")
    assert not (tmp_path / "opened").exists()


def test_a_file_of_an_old_anndata_is_read(tmp_path):
    counts = make_counts_anndata(5, 3).X
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        group = file.create_group("X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", (5, 3)
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(counts, key)
        file["obs"] = np.array(
            [(f"c{n}".encode(), n) for n in range(5)], [("index", "S8"), ("n", int)]
        )
        file["var"] = np.array([(f"g{n}".encode(),) for n in range(3)], [("index", "S8")])
    with open_cells(tmp_path / "old.h5ad") as source:
        assert list(source.obs.index) == ["c0", "c1", "c2", "c3", "c4"]
        assert list(source.var.index) == ["g0", "g1", "g2"]
        np.testing.assert_array_equal(all_rows(source), counts.toarray())
