"""Made-up cells in the shape of real ones: how many genes, how high, how alike.

Counts are drawn from profiles of cell types whose genes are log-normally expressed; a cell has as
many of them as its depth allows. Cells of one type stand together, as in a file they were
collected in, so that reading in order would give batches of one type.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse

GENES = 27_874
TYPES = 40
RUN = 512
"""Cells of one type that stand together."""
BLOCK = 8_192


def profiles(genes: int = GENES) -> npt.NDArray[np.float64]:
    """Share of each gene in the counts of each type, ``(types, genes)``."""
    random = np.random.default_rng(0)
    common = random.normal(0.0, 2.2, genes)
    shares: npt.NDArray[np.float64] = np.exp(common + random.normal(0.0, 0.8, (TYPES, genes)))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def labels_of(cells: int) -> npt.NDArray[np.int64]:
    """The type of each cell."""
    runs = np.random.default_rng(1).integers(0, TYPES, -(-cells // RUN))
    return np.repeat(runs, RUN)[:cells]


def made_up_cells(cells: int, genes: int = GENES) -> Iterator[tuple[int, sparse.csr_array]]:
    """Blocks of cells, log1p of counts in 10,000, rescaled to a maximum of 10."""
    shares, labels = profiles(genes), labels_of(cells)
    for start in range(0, cells, BLOCK):
        random = np.random.default_rng((2, start))
        rows = [_cell(shares[kind], random) for kind in labels[start : start + BLOCK]]
        positions = [np.flatnonzero(row).astype(np.int32) for row in rows]
        values = [row[place] for row, place in zip(rows, positions, strict=True)]
        pointers = np.cumsum([0, *(place.size for place in positions)], dtype=np.int32)
        arrays = (np.concatenate(values), np.concatenate(positions), pointers)
        yield start, sparse.csr_array(arrays, shape=(len(rows), genes))


def _cell(shares: npt.NDArray[np.float64], random: np.random.Generator) -> npt.NDArray[np.float32]:
    depth = np.exp(random.normal(8.6, 0.45))
    counts = random.poisson(shares * depth)
    logged = np.log1p(counts * (1e4 / max(1, counts.sum())))
    scaled: npt.NDArray[np.float32] = (logged * (10.0 / max(logged.max(), 1e-9))).astype(np.float32)
    return scaled
