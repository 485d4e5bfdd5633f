"""Rows of expression in one exact form, whatever type and layout they were stored in."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

Rows: TypeAlias = Any
"""Cells by genes: a numpy array, or a scipy sparse array or matrix, of any number type."""
Csr: TypeAlias = Any
"""``scipy.sparse.csr_array`` of float64 without repeated entries and without stored zeros."""

_DENSE_BYTES = 1 << 26


def canonical(rows: Rows) -> Csr:
    """A copy of ``rows`` as float64 CSR: one entry a cell and gene, no stored zeros.

    float64 holds every count below 2**53 and every value of the smaller types exactly, so that
    sums of ``uint8`` or ``int8`` counts cannot overflow.
    """
    if sparse.issparse(rows) and rows.format == "csr":
        values = rows.data.astype(np.float64)
        indices, indptr = rows.indices.copy(), rows.indptr.copy()
        result = sparse.csr_array((values, indices, indptr), shape=rows.shape)
    elif sparse.issparse(rows):
        coo = rows.tocoo()
        values = coo.data.astype(np.float64)
        result = sparse.csr_array((values, (coo.row, coo.col)), shape=coo.shape)
    else:
        result = sparse.csr_array(np.asarray(rows, dtype=np.float64))
    result.sum_duplicates()
    result.eliminate_zeros()
    return result


def row_index(rows: Csr) -> npt.NDArray[np.int64]:
    """The row of each stored value."""
    return np.repeat(np.arange(rows.shape[0], dtype=np.int64), np.diff(rows.indptr))


def filled(rows: Csr) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows that hold a value, and where their values start: what ``ufunc.reduceat`` needs."""
    lengths = np.diff(rows.indptr)
    kept = np.flatnonzero(lengths)
    return kept, np.asarray(rows.indptr[kept], dtype=np.int64)


def cells_at_once(genes: int) -> int:
    """Cells to read in one step, so that a dense block of them in float64 takes 64 MiB."""
    return max(1, _DENSE_BYTES // (8 * max(1, genes)))
