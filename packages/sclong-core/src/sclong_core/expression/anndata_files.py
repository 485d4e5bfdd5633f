"""AnnData on disk: ``.h5ad`` and zarr stores, of which only the asked-for cells are read."""

import json
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import zarr
from anndata import OldFormatWarning
from anndata.io import read_elem

from sclong_core.errors import InputError
from sclong_core.expression.cell_source import CellSource, RowReader
from sclong_core.expression.reading import CompressedRows, DenseRows, TurnedRows, require_numbers
from sclong_core.expression.species import note_in_store
from sclong_core.expression.store import (
    is_zarr_store,
    open_hdf5,
    open_zarr_store,
    refuse_unreadable,
    require_stored,
    require_unpackable,
)


def open_h5ad(path: Path, matrix: str | None) -> CellSource:
    """Open an ``.h5ad`` file; see :func:`sclong_core.expression.open_cells`."""
    file = open_hdf5(path)
    with refuse_unreadable(str(path), "the file"):
        return _open(file, str(path), matrix, file.close)


def open_zarr(path: Path, matrix: str | None) -> CellSource:
    """Open an AnnData zarr store; see :func:`sclong_core.expression.open_cells`."""
    if not is_zarr_store(path):
        raise InputError(
            f"{path} is a folder but not a zarr store: name the files in it, or search "
            "for them with find_cell_files"
        )
    group = open_zarr_store(path)
    with refuse_unreadable(str(path), "the zarr store"):
        return _open(group, str(path), matrix, lambda: None)


def _open(store: Any, name: str, matrix: str | None, closer: Callable[[], None]) -> CellSource:
    """The cells of an open AnnData file or store."""
    if "obs" not in store or "var" not in store:
        held = ", ".join(sorted(store.keys())[:5]) or "nothing"
        raise InputError(
            f"{name} is not AnnData: it holds {held}, but neither obs nor var; if it is "
            "a 10x or loom file, rename it to that ending"
        )
    matrices = _matrices(store)
    chosen = _choose(matrices, matrix, name)
    place, var_place = matrices[chosen]
    obs = _table(store, "obs", name)
    var = _table(store, var_place, name)
    with refuse_unreadable(name, chosen):
        reader = _reader(store[place], (len(obs), len(var)), name, chosen)
    return CellSource(
        name=name,
        matrix=chosen,
        obs=obs,
        var=var,
        reader=reader,
        logged=chosen == "X" and _logged(store),
        organism=_organism(store, name),
        others={
            other: partial(_open, store, name, other, closer)
            for other in matrices
            if other != chosen
        },
        closer=closer,
    )


def _matrices(store: Any) -> dict[str, tuple[str, str]]:
    """Each matrix by its name: where it is, and where its genes are."""
    found = {}
    if "X" in store:
        found["X"] = ("X", "var")
    if "raw/X" in store:
        found["raw"] = ("raw/X", "raw/var")
    elif "raw.X" in store:  # written by anndata before 0.7
        found["raw"] = ("raw.X", "raw.var")
    if "layers" in store:
        found |= {f"layers/{key}": (f"layers/{key}", "var") for key in sorted(store["layers"])}
    return found


def _choose(matrices: dict[str, tuple[str, str]], matrix: str | None, name: str) -> str:
    """The name of the asked-for matrix."""
    wanted = "X" if matrix is None else matrix
    for candidate in (wanted, f"layers/{wanted}"):
        if candidate in matrices:
            return candidate
    held = ", ".join(matrices) or "no matrix"
    raise InputError(f"{name} has no matrix {wanted!r}: it holds {held}; choose one of these")


def _table(store: Any, place: str, name: str) -> pd.DataFrame:
    """An annotation table."""
    with refuse_unreadable(name, place):
        _refuse_pickles(store[place], name)
        for array in _arrays(store[place]):
            require_stored(array)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OldFormatWarning)
            table = read_elem(store[place])
        if isinstance(table, np.ndarray) and table.dtype.names:  # anndata before 0.7
            table = pd.DataFrame.from_records(table, index=table.dtype.names[0])
            table.index = [_text(value) for value in table.index]
        if not isinstance(table, pd.DataFrame):
            raise TypeError(f"it is a {type(table).__name__}, not a table")
        return table


def _reader(element: Any, shape: tuple[int, int], name: str, matrix: str) -> RowReader:
    """Reads rows of a stored matrix of any layout."""
    _refuse_pickles(element, name)
    for array in _arrays(element):
        require_unpackable(array)
    if isinstance(element, h5py.Dataset | zarr.Array):
        require_numbers(element.dtype, name, matrix)
        dense = DenseRows(element)
        _require_shape(dense.shape, shape)
        return dense
    layout = _text(element.attrs.get("encoding-type", element.attrs.get("h5sparse_format", "")))
    require_numbers(element["data"].dtype, name, matrix)
    _require_shape(tuple(element.attrs.get("shape", element.attrs.get("h5sparse_shape"))), shape)
    _require_chunks(element)
    if layout.startswith("csr"):
        return CompressedRows(element, *shape)
    if not layout.startswith("csc"):
        raise ValueError(f"its layout is {layout or 'unknown'}, neither dense nor CSR nor CSC")
    return TurnedRows(CompressedRows(element, shape[1], shape[0]), name, matrix)


def _require_shape(found: tuple[int, ...], expected: tuple[int, int]) -> None:
    if tuple(map(int, found)) != expected:
        raise ValueError(f"its shape {found} is not {expected}, that of obs and var")


def _require_chunks(element: Any) -> None:
    """Refuse a sparse zarr matrix of which a chunk file is missing: zarr would read zeros.

    A chunk that holds nothing but zeros is not written either, but column numbers can only be so
    where no row holds two.
    """
    arrays: dict[str, Any] = {key: element[key] for key in ("indptr", "data", "indices")}
    if not isinstance(element, zarr.Group) or not arrays["data"].shape[0]:
        return
    for key, array in arrays.items():
        unit = (array.shards or array.chunks)[0]
        expected = -(-array.shape[0] // unit) * (unit // array.chunks[0])
        single = key == "indices" and np.diff(arrays["indptr"][:]).max() <= 1
        if array.nchunks_initialized < expected and not single:
            raise ValueError(f"chunks of {key} are missing")


def _logged(store: Any) -> bool:
    """Whether ``uns["log1p"]`` is there, with the natural logarithm."""
    if "uns" not in store or "log1p" not in store["uns"]:
        return False
    note = store["uns/log1p"]
    if not isinstance(note, h5py.Group | zarr.Group) or "base" not in note:
        return True
    require_stored(note["base"])
    base = read_elem(note["base"])
    return base is None or natural(base)


def _organism(store: Any, name: str) -> str:
    """What uns says of the species."""
    with refuse_unreadable(name, "uns"):
        return note_in_store(store)


def natural(base: Any) -> bool:
    """Whether a noted base of logarithms is e."""
    return isinstance(base, int | float | np.number) and math.isclose(base, math.e, rel_tol=1e-6)


def _refuse_pickles(element: Any, name: str) -> None:
    """Refuse zarr arrays that only unpickling could read: pickles can run any program."""
    for array in _arrays(element):
        if isinstance(array, h5py.Dataset):
            continue  # HDF5 holds no pickles
        described = array.metadata.to_dict()
        codecs = [described.get(key) for key in ("filters", "compressor", "codecs")]
        if "pickle" in json.dumps(codecs, default=repr):
            raise InputError(
                f"{name}: {array.path} is stored as a Python pickle, which scLong never "
                "opens: save the file again with a current anndata"
            )


def _arrays(element: Any) -> Iterator[Any]:
    """The arrays at and under an element."""
    if isinstance(element, zarr.Array | h5py.Dataset):
        yield element
    elif isinstance(element, zarr.Group):
        yield from (
            array for _, array in element.members(max_depth=None) if isinstance(array, zarr.Array)
        )
    elif isinstance(element, h5py.Group):
        for key in element:
            yield from _arrays(element[key])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
