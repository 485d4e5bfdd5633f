"""``.loom`` files: an HDF5 matrix of genes by cells, read by runs of cells."""

from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.reading import DenseRows, require_numbers, texts
from sclong_core.expression.store import open_hdf5, refuse_unreadable

_GENE_NAMES = ("Gene", "var_names", "gene_names", "gene_name", "Accession")
_CELL_NAMES = ("CellID", "obs_names", "cell_names", "barcode")


def open_loom(path: Path, matrix: str | None) -> CellSource:
    """Open a loom file; see :func:`sclong_core.expression.open_cells`."""
    file = open_hdf5(path)
    with refuse_unreadable(str(path), "the file"):
        lacking = [key for key in ("matrix", "row_attrs", "col_attrs") if key not in file]
        if lacking:
            raise InputError(f"{path} is not a loom file: it has no {', '.join(lacking)}")
        return _open(file, str(path), matrix)


def _open(file: h5py.File, name: str, matrix: str | None) -> CellSource:
    """The cells of one matrix."""
    held = {"matrix": "matrix"}
    held |= {f"layers/{key}": f"layers/{key}" for key in sorted(file.get("layers", {}))}
    wanted = "matrix" if matrix in (None, "X") else matrix
    chosen = next((key for key in (wanted, f"layers/{wanted}") if key in held), None)
    if chosen is None:
        raise InputError(f"{name} has no matrix {matrix!r}: it holds {', '.join(held)}")
    with refuse_unreadable(name, chosen):
        array = file[chosen]
        require_numbers(array.dtype, name, chosen)
        reader = DenseRows(array, transposed=True)
        cells, genes = reader.shape
        obs = _table(file["col_attrs"], cells, _CELL_NAMES)
        var = _table(file["row_attrs"], genes, _GENE_NAMES)
    return CellSource(
        name=name,
        matrix=chosen,
        obs=obs,
        var=var,
        reader=reader,
        others={key: partial(_open, file, name, key) for key in held if key != chosen},
        closer=file.close,
    )


def _table(attributes: h5py.Group, length: int, names: tuple[str, ...]) -> pd.DataFrame:
    """Attributes with one value a row as columns; the first of ``names`` is the index too.

    Attributes with several values a row are left where they are.
    """
    columns: dict[str, Any] = {}
    for key, dataset in attributes.items():
        if dataset.ndim != 1:
            continue
        if dataset.shape != (length,):
            raise ValueError(f"{key} has {dataset.shape[0]} values for {length} rows")
        columns[key] = texts(dataset) if dataset.dtype.kind in "OSU" else np.asarray(dataset[()])
    named = next((columns[key] for key in names if key in columns), range(length))
    return pd.DataFrame(columns, index=pd.Index([str(item) for item in named]))
