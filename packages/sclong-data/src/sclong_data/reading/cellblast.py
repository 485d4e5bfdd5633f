"""``.h5`` files of Cell BLAST's reference data sets (its class ``ExprDataSet``).

``exprs`` holds cells by genes, dense or as the arrays of a CSR matrix; ``obs_names`` and
``var_names`` the names; each member of ``obs`` and ``var`` is a column.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression import CellSource
from sclong_core.expression.cell_source import RowReader, checked
from sclong_core.expression.reading import CompressedRows, DenseRows, require_numbers, texts
from sclong_core.expression.store import open_hdf5, refuse_unreadable, require_stored

_MARKS = {"exprs", "obs_names", "var_names"}


def is_cellblast(path: Path) -> bool:
    """Whether an HDF5 file has Cell BLAST's layout."""
    with open_hdf5(path) as file, refuse_unreadable(str(path), "the file"):
        return set(file) >= _MARKS


def open_cellblast(path: Path, matrix: str | None) -> CellSource:
    """Open a Cell BLAST file; its cells are read in runs.

    Raises:
        InputError: it is damaged, or another matrix than ``exprs`` is asked for.
    """
    if matrix not in (None, "X", "exprs"):
        raise InputError(f"{path} has no matrix {matrix!r}: it holds exprs")
    file = open_hdf5(path)
    name = str(path)
    with refuse_unreadable(name, "exprs"):
        obs = _table(file, "obs")
        var = _table(file, "var")
        reader = _reader(file["exprs"], (len(obs), len(var)), name)
    return checked(
        CellSource(name=name, matrix="exprs", obs=obs, var=var, reader=reader, closer=file.close)
    )


def _reader(element: Any, shape: tuple[int, int], name: str) -> RowReader:
    if isinstance(element, h5py.Dataset):
        require_numbers(element.dtype, name, "exprs")
        _require_shape(element.shape, shape)
        return DenseRows(element)
    require_numbers(element["data"].dtype, name, "exprs")
    require_stored(element["shape"])
    _require_shape(tuple(element["shape"][:].tolist()), shape)
    return CompressedRows(element, *shape)


def _require_shape(found: tuple[int, ...], expected: tuple[int, int]) -> None:
    if found != expected:
        raise ValueError(f"its shape is {found}, its names {expected}")


def _table(file: h5py.File, kind: str) -> pd.DataFrame:
    """A table of annotation; a column of another length than the names cannot be one."""
    names = texts(file[f"{kind}_names"])
    columns: dict[str, Any] = {}
    for key, column in file.get(kind, {}).items():
        if not isinstance(column, h5py.Dataset) or column.size != len(names):
            continue
        require_stored(column)
        values = np.atleast_1d(np.asarray(column[()])).reshape(-1)
        if values.dtype.kind in "OS":
            columns[key] = [
                item.decode() if isinstance(item, bytes) else str(item) for item in values.tolist()
            ]
        else:
            columns[key] = values
    return pd.DataFrame(columns, index=pd.Index(names))
