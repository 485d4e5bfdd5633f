"""What files and stores of cells may lead to, and what a failure to read one says."""

import errno
import os
import shutil
import subprocess
import sys
import warnings

import h5py
import numpy as np
import pytest
import zarr

from sclong_core.errors import InputError
from sclong_core.expression import open_cells
from sclong_core.expression import store as stores
from sclong_core.expression.store import (
    open_hdf5,
    open_zarr_store,
    refuse_unreadable,
    require_stored,
    store_files,
)
from sclong_core.testing import make_counts_anndata

PLACES = ("obs", "var", "X", "raw", "layers/counts", "obsp", "uns/deep/deeper", "X/data", "obs/n")


@pytest.fixture
def cells(tmp_path):
    adata = make_counts_anndata(6, 10)
    adata.obs["n"] = np.arange(6)
    adata.layers["counts"] = adata.X.copy()
    adata.uns["deep"] = {"deeper": np.arange(3)}
    adata.raw = adata
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    return path


@pytest.fixture
def store(tmp_path):
    adata = make_counts_anndata(6, 10)
    adata.uns["deep"] = {"deeper": np.arange(3)}
    path = tmp_path / "cells.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of anndata, about the format of the future
        adata.write_zarr(path)
    return path


@pytest.mark.parametrize("target", ["a file", "nothing", "a pipe"])
@pytest.mark.parametrize("place", PLACES)
def test_an_external_link_is_refused_wherever_it_is(tmp_path, cells, place, target):
    other = tmp_path / "other.h5"
    if target == "a file":
        shutil.copy(cells, other)
    elif target == "a pipe":
        os.mkfifo(other)  # opening it would never end
    with h5py.File(cells, "r+") as file:
        if place in file:
            del file[place]
        file[place] = h5py.ExternalLink(str(other), "/obs")
    with pytest.raises(InputError, match=rf"cells\.h5ad: {place} is a link to .*other\.h5: scLong"):
        open_cells(cells)


def _virtual(file, name, source):
    layout = h5py.VirtualLayout((6, 10), dtype="f4")
    layout[:] = h5py.VirtualSource(source, "x", shape=(6, 10))
    file.create_virtual_dataset(name, layout, fillvalue=1)


def _unlimited(file, name, source):
    layout = h5py.VirtualLayout((6, 10), dtype="f4", maxshape=(None, 10))
    found = h5py.VirtualSource(source, "x", shape=(6, 10), maxshape=(None, 10))
    layout[: h5py.h5s.UNLIMITED, :] = found[: h5py.h5s.UNLIMITED, :]
    file.create_virtual_dataset(name, layout)


def _external(file, name, source):
    file.create_dataset(name, (6, 10), dtype="f4", external=[(source, 0, h5py.h5f.UNLIMITED)])


@pytest.mark.parametrize("make", [_virtual, _unlimited, _external])
@pytest.mark.parametrize("place", ["X", "layers/dense", "uns/deep/far", "obsp/near"])
@pytest.mark.parametrize("target", ["nothing", "a pipe"])
def test_values_that_are_elsewhere_are_refused_wherever_they_are(
    tmp_path, cells, make, place, target
):
    other = tmp_path / "other.h5"
    if target == "a pipe":
        os.mkfifo(other)
    with h5py.File(cells, "r+") as file:
        if place in file:
            del file[place]
        make(file, place, str(other))
    with pytest.raises(InputError, match=rf"{place} is a (virtual )?data set .*other\.h5"):
        open_cells(cells)


def test_links_within_the_file_may_stay(cells):
    with open_cells(cells) as source:
        expected = source.read_rows(0, 6).toarray()
    with h5py.File(cells, "r+") as file:
        file.move("X", "uns/elsewhere")
        file["X"] = h5py.SoftLink("/uns/elsewhere")
        file["uns/again"] = h5py.SoftLink("/uns/deep")
    with open_cells(cells) as source:
        np.testing.assert_array_equal(source.read_rows(0, 6).toarray(), expected)


@pytest.mark.parametrize("place", ["uns/nothing", "obsp/nothing", "layers/nothing", "nothing"])
def test_a_link_to_nothing_is_refused_wherever_it_is(cells, place):
    with h5py.File(cells, "r+") as file:
        file[place] = h5py.SoftLink("/uns/nowhere")
    with pytest.raises(InputError, match=f"{place} is a link that leads nowhere in the file"):
        open_cells(cells)


@pytest.mark.parametrize("kind", ["soft", "hard", "two that name each other"])
def test_circles_of_links_are_refused_where_nothing_reads_them(cells, kind):
    with h5py.File(cells, "r+") as file:
        if kind == "hard":
            file["uns/deep/top"] = file["uns"]
        elif kind == "soft":
            file["uns/deep/top"] = h5py.SoftLink("/")
        else:
            file["uns/a"], file["uns/b"] = h5py.SoftLink("/uns/b"), h5py.SoftLink("/uns/a")
    with pytest.raises(InputError, match=r"uns/.* is a link that leads around in a circle"):
        open_cells(cells)


@pytest.mark.parametrize("kind", ["soft", "hard", "two that name each other"])
def test_links_in_a_circle_are_refused(cells, kind):
    with h5py.File(cells, "r+") as file:
        del file["obs/n"]
        if kind == "hard":
            file["obs/n"] = file["obs"]
        elif kind == "soft":
            file["obs/n"] = h5py.SoftLink("/obs")
        else:
            file["obs/n"], file["obs/m"] = h5py.SoftLink("/obs/m"), h5py.SoftLink("/obs/n")
    with pytest.raises(InputError, match="circle"):
        open_cells(cells)


@pytest.mark.parametrize("place", ["X", "X/data", "obs/_index/key", "uns/deep/key", "zarr.json"])
def test_a_link_out_of_a_store_is_refused_wherever_it_is(tmp_path, store, place):
    home = tmp_path / "home"
    home.mkdir()
    (home / "key").write_text("PRIVATE")
    if (store / place).is_dir():
        shutil.rmtree(store / place)
    else:
        (store / place).unlink(missing_ok=True)
    (store / place).symlink_to(home)
    with pytest.raises(InputError, match=rf"{place} is a link to .*home: scLong"):
        store_files(store)
    if place != "zarr.json":
        with pytest.raises(InputError, match="is a link to"):
            open_cells(store)


def test_the_store_itself_may_be_behind_a_link_and_hold_links_to_itself(tmp_path, store):
    expected = store_files(store)
    (store / "uns" / "again").symlink_to("deep")
    (tmp_path / "link.zarr").symlink_to(store)
    found = store_files(tmp_path / "link.zarr")
    assert set(expected) < set(found)
    with open_cells(tmp_path / "link.zarr") as source:
        assert source.n_cells == 6


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to(".."), "circle"),
        (lambda path: path.symlink_to(path.name), "circle"),
        (lambda path: path.symlink_to("nothing"), "part of it is missing"),
        (os.mkfifo, "neither a file nor a folder"),
    ],
)
def test_a_store_with_a_circle_a_dead_link_or_a_pipe_is_refused(store, make, said):
    make(store / "uns" / "odd")
    with pytest.raises(InputError, match=said):
        open_cells(store)


@pytest.mark.parametrize("name", ["pipe.h5ad", "pipe.h5", "pipe.loom"])
def test_a_pipe_is_no_file_of_cells(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="not a plain file"):
        open_cells(tmp_path / name)


def _held(path):
    """A process that has the file open for writing."""
    program = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print(); sys.stdin.read()"
    words = [sys.executable, "-c", program, str(path)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_a_file_that_another_process_writes_is_in_use(cells):
    with _held(cells) as holder:
        holder.stdout.readline()
        with pytest.raises(InputError, match=r"is in use.*HDF5_USE_FILE_LOCKING") as caught:
            open_cells(cells)
        holder.stdin.close()
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("place", ["X/data", "obs/_index", "layers/counts/indices"])
@pytest.mark.parametrize(
    ("number", "said"), [(32001, r"blosc.*pip install hdf5plugin"), (31999, "31999")]
)
def test_a_missing_filter_is_named(cells, monkeypatch, place, number, said):
    monkeypatch.setattr(stores.importlib, "import_module", _no_module)
    with h5py.File(cells, "r+") as file:
        values, attributes = file[place][()], dict(file[place].attrs)
        del file[place]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((len(values),))
        plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
        kind = h5py.h5t.py_create(values.dtype, logical=True)
        space = h5py.h5s.create_simple((len(values),))
        made = h5py.h5d.create(file.id, place.encode(), kind, space, plist)
        h5py.Dataset(made).attrs.update(attributes)
    with pytest.raises(InputError, match=rf"compressed with the HDF5 filter .*{said}") as caught:
        open_cells(cells, matrix="counts" if place.startswith("layers") else None)
    assert "damaged" not in str(caught.value)


def _no_module(name):
    raise ImportError(name)


@pytest.mark.parametrize("form", [2, 3])
def test_a_missing_codec_is_named(tmp_path, form):
    root = zarr.open_group(tmp_path / "cells.zarr", mode="w", zarr_format=form)
    root.create_array("x", shape=(4,), dtype="f4", chunks=(2,))[:] = 1
    for place in (tmp_path / "cells.zarr" / "x").rglob(".zarray" if form == 2 else "zarr.json"):
        text = place.read_text().replace('"zstd"', '"shrink"').replace('"blosc"', '"shrink"')
        place.write_text(text)
    found = open_zarr_store(tmp_path / "cells.zarr")
    with (
        pytest.raises(InputError, match="codec shrink, which is not installed"),
        refuse_unreadable("cells.zarr", "x"),
    ):
        found["x"][:]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "c/0"),
            r"may not be read \(c/0\): ask",
        ),
        (OSError(errno.EIO, "Input/output error"), "the disk or its connection failed"),
        (OSError(errno.ESTALE, "Stale file handle"), "the disk or its connection failed"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links"), "circle"),
        (FileNotFoundError(errno.ENOENT, "No such file", "c/0"), "part of it is missing"),
        (OSError("unable to lock file, errno = 11"), "in use"),
        (KeyError("truncated"), "damaged or cut short"),
    ],
)
def test_what_failed_is_said(error, said):
    with pytest.raises(InputError, match=rf"^cells: X .*{said}"), refuse_unreadable("cells", "X"):
        raise error


def test_a_file_without_permission_is_not_damaged(cells, monkeypatch):
    monkeypatch.setattr(stores.os, "access", lambda *_: False)
    with pytest.raises(InputError, match="may not be read: ask its owner"):
        open_hdf5(cells)


def test_a_plain_array_is_stored(cells):
    with open_hdf5(cells) as file:
        require_stored(file["X/data"])
