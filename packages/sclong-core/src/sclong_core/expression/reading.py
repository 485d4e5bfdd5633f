"""Reading matrices from HDF5 and zarr by runs of rows."""

import logging
from functools import cached_property
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression.rows import Rows
from sclong_core.expression.store import require_stored

_LOG = logging.getLogger("sclong")


def require_numbers(dtype: Any, name: str, matrix: str) -> None:
    """Refuse element types that are not real numbers.

    Raises:
        InputError: text, objects, complex numbers or records.
    """
    if np.dtype(dtype).kind not in "biuf":
        raise InputError(
            f"{name}: {matrix} holds {np.dtype(dtype).name} values: expression must be "
            "integers or real numbers; convert it first"
        )


def texts(dataset: h5py.Dataset) -> list[str]:
    """Strings of any HDF5 string type; other values as they print."""
    require_stored(dataset)
    values = np.asarray(dataset[()])
    return [item.decode() if isinstance(item, bytes) else str(item) for item in values.tolist()]


class DenseRows:
    """Rows of a dense array in HDF5 or zarr; ``transposed`` if it is genes by cells (loom)."""

    def __init__(self, array: Any, *, transposed: bool = False) -> None:
        self._array = array
        self._transposed = transposed

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        rows, columns = self._array.shape
        return (columns, rows) if self._transposed else (rows, columns)

    def __call__(self, start: int, stop: int, /) -> Rows:
        """Cells ``start`` to ``stop`` as an array."""
        if self._transposed:
            return np.asarray(self._array[:, start:stop]).T
        return np.asarray(self._array[start:stop, :])


class RowsInMemory:
    """Rows of an array or sparse matrix that slices by itself, in memory, backed or lazy (dask)."""

    def __init__(self, matrix: Any) -> None:
        self._matrix = matrix

    def __call__(self, start: int, stop: int, /) -> Rows:
        """Cells ``start`` to ``stop``."""
        rows = self._matrix[start:stop]
        return rows.compute() if hasattr(rows, "compute") else rows


class CompressedRows:
    """Rows of a CSR matrix in HDF5 or zarr, of which only ``indptr`` is held in memory.

    Args:
        group: holds ``data``, ``indices`` and ``indptr``.
        cells: number of rows.
        genes: number of columns.

    Raises:
        ValueError: the three arrays do not fit together.
    """

    def __init__(self, group: Any, cells: int, genes: int) -> None:
        self._data, self._indices = group["data"], group["indices"]
        self.shape = (cells, genes)
        if group["indptr"].shape != (cells + 1,):
            raise ValueError(f"indptr has {group['indptr'].size} entries for {cells} rows")
        self.indptr = np.asarray(group["indptr"][:], dtype=np.int64)
        if self.indptr[0] != 0 or (np.diff(self.indptr) < 0).any():
            raise ValueError("indptr does not rise from 0")
        stored = {self._data.shape, self._indices.shape, (int(self.indptr[-1]),)}
        if len(stored) != 1:
            raise ValueError(f"data, indices and indptr differ in length: {sorted(stored)}")

    def __call__(self, start: int, stop: int, /) -> Rows:
        """Cells ``start`` to ``stop`` as CSR of float64, which scipy takes whatever was stored.

        It has no half precision, and no bytes in the order of another processor.
        """
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        indices = np.asarray(self._indices[first:last]).astype(np.int64)
        genes = self.shape[1]
        if indices.size and not 0 <= indices.min() <= indices.max() < genes:
            raise ValueError(f"a column number is outside 0 to {genes - 1}")
        data = np.asarray(self._data[first:last]).astype(np.float64)
        indptr = self.indptr[start : stop + 1] - self.indptr[start]
        return sparse.csr_array((data, indices, indptr), shape=(stop - start, genes))


class TurnedRows:
    """Rows of a CSC matrix: it is loaded whole and turned when the first of them is read.

    Args:
        by_genes: the matrix of genes by cells, which can be read in runs of genes.
        name: the file, for messages.
        matrix: which of its matrices.
    """

    def __init__(self, by_genes: CompressedRows, name: str, matrix: str) -> None:
        self.by_genes = by_genes
        self._name, self._matrix = name, matrix

    def __call__(self, start: int, stop: int, /) -> Rows:
        """Cells ``start`` to ``stop``."""
        return self._turned[start:stop]

    @cached_property
    def _turned(self) -> Rows:
        _LOG.info(
            "%s: %s is stored by genes (CSC): loading all of it to read it by cells",
            self._name,
            self._matrix,
        )
        return sparse.csr_array(self.by_genes(0, self.by_genes.shape[0]).T)
