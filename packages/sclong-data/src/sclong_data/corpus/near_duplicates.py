"""Cells that are in two data sets although nothing in them is stored alike.

The same sample goes round in copies that were filtered, renamed or scaled differently, so that no
digest of a whole cell finds it. What stays is which genes a cell expresses. The genes that both
data sets measure are dealt into bands; two cells are near-duplicates if they express exactly the
same genes in a quarter of the bands.

Shapes: n cells, g genes, b bands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import sparse

BANDS = 32
_SHARE = 0.25
"""Of the bands that must agree."""
_LEAST_GENES = 3
"""Expressed in a band, for it to count: almost empty bands agree by chance."""
_SEED = 7


@dataclass(frozen=True, eq=False)
class MeasuredCells:
    """Cells of one data set over a vocabulary."""

    expression_ng: sparse.csr_array
    measured_g: npt.NDArray[np.bool_]
    """Genes that the data set holds."""


def near_duplicates(datasets: Mapping[str, MeasuredCells]) -> dict[tuple[str, str], int]:
    """Numbers of cells of the second data set of a pair that the first one holds too.

    Args:
        datasets: by name, all over one vocabulary.

    Returns:
        The pairs that share any cell, in the order of the names.
    """
    found = {}
    for one, other in combinations(sorted(datasets), 2):
        count = shared_cells(datasets[one], datasets[other])
        if count:
            found[one, other] = count
    return found


def shared_cells(first: MeasuredCells, second: MeasuredCells) -> int:
    """Number of cells of ``second`` that are near-duplicates of a cell of ``first``."""
    common = np.flatnonzero(first.measured_g & second.measured_g)
    if not len(common):
        return 0
    draw = np.random.default_rng(_SEED)
    band_g = draw.integers(BANDS, size=len(common))
    key_g = draw.integers(1, 1 << 63, size=len(common), dtype=np.uint64)
    sides = [_bands(cells.expression_ng, common, band_g, key_g) for cells in (first, second)]
    _, codes = np.unique(np.concatenate([keys for _, keys in sides]), return_inverse=True)
    width = int(codes.max(initial=0)) + 1
    tables, start = [], 0
    for (cells, keys), side in zip(sides, (first, second), strict=True):
        columns = codes[start : start + len(keys)]
        start += len(keys)
        shape = (side.expression_ng.shape[0], width)
        ones = np.ones(len(keys), dtype=np.int32)
        tables.append(sparse.csr_array((ones, (cells, columns)), shape=shape))
    agreeing = (tables[1] @ tables[0].T).tocsr()
    agreeing.data = (agreeing.data >= _SHARE * BANDS).astype(np.int32)
    agreeing.eliminate_zeros()
    return int((np.diff(agreeing.indptr) > 0).sum())


def _bands(
    expression: sparse.csr_array,
    common: npt.NDArray[np.int64],
    band_g: npt.NDArray[np.int64],
    key_g: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Cells and keys of all bands that hold enough expressed genes."""
    place = np.full(expression.shape[1], -1, dtype=np.int64)
    place[common] = np.arange(len(common))
    rows = np.repeat(np.arange(expression.shape[0]), np.diff(expression.indptr))
    gene = place[expression.indices]
    used = (gene >= 0) & (expression.data > 0)
    slot = rows[used] * BANDS + band_g[gene[used]]
    order = np.argsort(slot, kind="stable")
    slots, starts, counts = np.unique(slot[order], return_index=True, return_counts=True)
    if not len(slots):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64)
    keys = np.add.reduceat(key_g[gene[used]][order], starts)  # wraps around, as a hash may
    keys ^= (slots % BANDS).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    enough = counts >= _LEAST_GENES
    return slots[enough] // BANDS, keys[enough]
