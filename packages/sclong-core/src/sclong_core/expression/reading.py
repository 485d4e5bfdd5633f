"""Reading matrices from HDF5 and zarr by runs of rows, and saying clearly when that fails."""

import logging
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from anndata._io.specs.registry import IORegistryError
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression.rows import Rows

_LOG = logging.getLogger("sclong")
_UNSUSPICIOUS_BYTES = 1 << 30
_RATIO = 1100
"""Bytes that one of a packed array can stand for; gzip reaches 1032."""
_FAILURES = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    OverflowError,
    zlib.error,
)
"""What h5py, zarr, numcodecs, pandas and scipy raise over damaged files."""


@contextmanager
def refuse_unreadable(name: str, what: str) -> Iterator[None]:
    """Turn a failure to read ``what`` of the file ``name`` into an InputError of one line."""
    try:
        yield
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{name}: {what} cannot be read ({reason[:200]}): the file is damaged or cut short, "
            "copy or write it again"
        ) from error
    except IORegistryError as error:
        raise InputError(
            f"{name}: {what} is stored in a way that anndata {version('anndata')} does not read: "
            "install a newer anndata; or the file is damaged, if it was written by an older one"
        ) from error
    except MemoryError as error:
        raise InputError(
            f"{name}: {what} needs more memory than there is ({' '.join(str(error).split())}): use "
            "a larger machine; or the file is damaged, if that is more than it can hold"
        ) from error


def require_stored(array: Any) -> None:
    """Refuse an array of HDF5 or zarr that is said to be enormous, and of which little is there.

    Chunks that were never written read as zeros: a few bytes can promise more than all memory.

    Raises:
        ValueError: it is such an array.
    """
    size = math.prod(array.shape or ()) * array.dtype.itemsize  # an empty one has no shape
    if size <= _UNSUSPICIOUS_BYTES:
        return
    stored = array.id.get_storage_size() if isinstance(array, h5py.Dataset) else _stored(array)
    if size > _RATIO * stored:
        raise ValueError(f"{array.name} is said to hold {size:,} bytes, of which {stored:,} exist")


def _stored(array: Any) -> int:
    return int(array.nbytes_stored())


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises:
        InputError: it is empty, damaged, of another format, or may not be read.
    """
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read: ask its owner for the permission")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is an empty file: copy or write it again")
    with refuse_unreadable(str(path), "the file"):
        if h5py.is_hdf5(path):
            return h5py.File(path, "r")
    raise InputError(
        f"{path} is not an HDF5 file whatever its ending says: look at what it holds "
        "(a web page saved by mistake, a compressed file?) and get it again"
    )


def require_numbers(dtype: Any, name: str, matrix: str) -> None:
    """Refuse element types that are not real numbers.

    Raises:
        InputError: text, objects, complex numbers or records.
    """
    if np.dtype(dtype).kind not in "biuf":
        raise InputError(
            f"{name}: {matrix} holds {np.dtype(dtype).name} values: "
            "expression must be integers or real numbers, convert it first"
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
            raise ValueError(f"a column number lies outside 0 to {genes - 1}")
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
            "%s: %s is stored by genes (CSC): loaded whole to read it by cells",
            self._name,
            self._matrix,
        )
        return sparse.csr_array(self.by_genes(0, self.by_genes.shape[0]).T)
