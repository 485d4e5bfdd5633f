"""Who is near whom in an embedding: connectivity of cell types, and mixing by LISI.

All of it is undefined (NaN) where all cells have the same place, because then neighbours are no
more than the order of the rows. Shapes: n cells, k neighbours, l labels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from sclong_tasks.metrics.embedding import Floats, checked_embedding, is_constant

Ints = npt.NDArray[np.int64]
LISI_NEIGHBOURS = 90
"""With the cell itself; the perplexity is a third of them (30, as published)."""
GRAPH_NEIGHBOURS = 15
"""With the cell itself, as scIB does it."""
_HALVINGS = 60
_FEWEST = 6


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest other cells of each cell, nearest first."""

    cells_nk: Ints
    distances_nk: Floats


def find_neighbours(embedding: npt.ArrayLike, neighbours: int) -> Neighbours | None:
    """Nearest other cells by Euclidean distance.

    Args:
        embedding: ``(cells, numbers)``.
        neighbours: how many, with the cell itself; where there are fewer cells, all of them.

    Returns:
        None where all cells have the same place, or there is one cell.

    Raises:
        InputError: a value is not a number.
    """
    values, _, _ = checked_embedding(embedding, np.zeros(len(np.asarray(embedding))))
    count = min(neighbours, len(values)) - 1
    if count < 1 or is_constant(values):
        return None
    # Without queries, a cell is not its own neighbour, even where others have its place.
    distances, cells = NearestNeighbors(n_neighbors=count).fit(values).kneighbors()
    return Neighbours(cells.astype(np.int64), distances)


def connectivity_by_type(
    found: Neighbours | None, cell_types: npt.ArrayLike, neighbours: int = GRAPH_NEIGHBOURS
) -> dict[str, float]:
    """Share of each cell type that is in its largest connected part.

    Two cells are joined if one is among the nearest of the other; edges between types do not count.
    The mean over types is scIB's graph connectivity.
    """
    if found is None:
        return {}
    names, codes = np.unique(np.asarray(cell_types).astype(str), return_inverse=True)
    cells_nk = found.cells_nk[:, : neighbours - 1]
    cells = len(cells_nk)
    rows = np.repeat(np.arange(cells), cells_nk.shape[1])
    ends = cells_nk.ravel()
    graph = csr_array((np.ones(len(rows), dtype=np.int8), (rows, ends)), shape=(cells, cells))
    shares = {}
    for code, name in enumerate(names):
        here = np.flatnonzero(codes == code)
        _, parts = connected_components(graph[here][:, here], directed=True, connection="weak")
        shares[str(name)] = float(np.bincount(parts).max() / len(here))
    return shares


def lisi(found: Neighbours, labels: npt.ArrayLike) -> Floats:
    """Local inverse Simpson's index of each cell: how many labels its neighbourhood holds.

    Neighbours are weighted by a Gaussian of their distance whose entropy is that of a third of
    their number (Korsunsky et al. 2019).
    """
    names, codes = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    weights_nk = _weights(found.distances_nk)
    simpson_n = np.zeros(len(weights_nk))
    near_nk = codes[found.cells_nk]
    for code in range(len(names)):
        simpson_n += (weights_nk * (near_nk == code)).sum(1) ** 2
    values: Floats = 1 / simpson_n
    return values


def ilisi(found: Neighbours | None, batches: npt.ArrayLike) -> float:
    """Median LISI of batches from 1..batches to 0..1; 1 is mixed. NaN with one batch."""
    kinds = len(np.unique(np.asarray(batches)))
    if found is None or kinds < 2:
        return float("nan")
    return float((np.median(lisi(found, batches)) - 1) / (kinds - 1))


def clisi(found: Neighbours | None, cell_types: npt.ArrayLike) -> float:
    """Median LISI of cell types from types..1 to 0..1; 1 is pure. NaN with one type."""
    kinds = len(np.unique(np.asarray(cell_types)))
    if found is None or kinds < 2:
        return float("nan")
    return float((kinds - np.median(lisi(found, cell_types))) / (kinds - 1))


def cilisi_by_type(
    embedding: npt.ArrayLike,
    batches: npt.ArrayLike,
    cell_types: npt.ArrayLike,
    neighbours: int = LISI_NEIGHBOURS,
) -> dict[str, float]:
    """Mean LISI of batches among the cells of each type alone, from 0 to 1; 1 is mixed.

    Unlike iLISI it does not reward the mixing of cell types (Andreatta et al. 2024). Types of one
    batch, of fewer than six cells, or of cells in one place are left out.
    """
    values, codes, names = checked_embedding(embedding, cell_types)
    batch_n = np.asarray(batches)
    shares = {}
    for code, name in enumerate(names):
        here = codes == code
        kinds = len(np.unique(batch_n[here]))
        if kinds < 2 or here.sum() < _FEWEST:
            continue
        found = find_neighbours(values[here], neighbours)
        if found is not None:
            shares[str(name)] = float((lisi(found, batch_n[here]).mean() - 1) / (kinds - 1))
    return shares


def _weights(distances_nk: Floats) -> Floats:
    """Gaussian weights of neighbours with the entropy of (k + 1) / 3 of them, by bisection."""
    target = np.log(max((distances_nk.shape[1] + 1) / 3, 1.0))
    # Distances count by their ratios alone, so that no scale of the embedding is too small.
    mean_n1 = distances_nk.mean(1, keepdims=True)
    scaled = (distances_nk - distances_nk.min(1, keepdims=True)) / np.where(mean_n1 > 0, mean_n1, 1)
    low, high = np.full((len(scaled), 1), -30.0), np.full((len(scaled), 1), 30.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        weights: Floats = np.exp(-scaled * np.exp(middle))
        weights /= weights.sum(1, keepdims=True)
        logs = np.log(np.where(weights > 0, weights, 1.0))
        wide = -(weights * logs).sum(1, keepdims=True) > target
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return weights
