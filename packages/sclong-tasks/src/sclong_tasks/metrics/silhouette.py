"""Silhouette widths of an embedding: by cell type, and by batch within each cell type.

Shapes: n cells, d numbers a cell, k labels.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.metrics import pairwise_distances_chunked

from sclong_tasks.metrics.embedding import Floats, checked_embedding

Distance = Literal["euclidean", "cosine"]
Between = Literal["nearest", "mean_other"]
_MEMORY_MIB = 256


def silhouette_values(
    embedding: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    distance: Distance = "euclidean",
    between: Between = "nearest",
) -> Floats:
    """Silhouette of each cell: (b - a) / max(a, b).

    a is the mean distance to the other cells of its label. b is, with "nearest", the least mean
    distance to the cells of another label (Rousseeuw's), with "mean_other" the mean distance to all
    cells of other labels. A cell that is alone with its label gets 0, and so does one where a and b
    are 0. Distances are computed in blocks.

    Returns:
        n values, all NaN where there are fewer than two labels.

    Raises:
        InputError: the embedding is not a table of finite numbers with one row a label.
    """
    values_nd, codes_n, labels_k = checked_embedding(embedding, labels)
    if len(labels_k) < 2:
        return np.full(len(values_nd), np.nan)
    counts_k = np.bincount(codes_n)
    member_nk = np.eye(len(labels_k))[codes_n]
    parts, start = [], 0
    for distances in pairwise_distances_chunked(
        values_nd, metric=distance, working_memory=_MEMORY_MIB
    ):
        block = slice(start, start + len(distances))
        distances[np.arange(len(distances)), np.arange(block.start, block.stop)] = 0
        parts.append(_widths(distances @ member_nk, codes_n[block], counts_k, between))
        start = block.stop
    return np.concatenate(parts)


def cell_type_asw(embedding: npt.ArrayLike, cell_types: npt.ArrayLike) -> float:
    """Mean silhouette of cell types, from -1..1 to 0..1; NaN with one type, or as many as cells."""
    kinds = len(np.unique(np.asarray(cell_types)))
    if not 2 <= kinds < len(np.asarray(cell_types)):
        return float("nan")
    return float((silhouette_values(embedding, cell_types).mean() + 1) / 2)


def batch_asw_by_type(
    embedding: npt.ArrayLike,
    batches: npt.ArrayLike,
    cell_types: npt.ArrayLike,
    *,
    distance: Distance = "euclidean",
    between: Between = "nearest",
) -> dict[str, float]:
    """Mean of 1 - |silhouette of batches| within each cell type, as scIB does it.

    Types of one batch, and types each of whose cells has a batch of its own, are left out. The mean
    over types is scIB's batch ASW; with ``distance="cosine"`` and ``between="mean_other"`` it is
    BRAS.
    """
    values_nd, codes_n, names_k = checked_embedding(embedding, cell_types)
    batch_n = np.asarray(batches)
    found = {}
    for code, name in enumerate(names_k):
        here = codes_n == code
        batches_here = len(np.unique(batch_n[here]))
        if not 1 < batches_here < here.sum():
            continue
        widths = silhouette_values(
            values_nd[here], batch_n[here], distance=distance, between=between
        )
        found[str(name)] = float((1 - np.abs(widths)).mean())
    return found


def bras_by_type(
    embedding: npt.ArrayLike, batches: npt.ArrayLike, cell_types: npt.ArrayLike
) -> dict[str, float]:
    """Batch removal adapted silhouette of each cell type (Rautenstrauch and Ohler 2025).

    Cosine distance, and all other batches together in place of the nearest.
    """
    return batch_asw_by_type(
        embedding, batches, cell_types, distance="cosine", between="mean_other"
    )


def _widths(
    sums_bk: Floats, codes_b: npt.NDArray[np.int64], counts_k: npt.NDArray[np.int64], between: str
) -> Floats:
    """Silhouettes of a block of cells, from summed distances to the cells of each label."""
    rows = np.arange(len(sums_bk))
    own_b = counts_k[codes_b]
    within_b = sums_bk[rows, codes_b] / np.maximum(own_b - 1, 1)
    if between == "mean_other":
        other_b = sums_bk.sum(1) - sums_bk[rows, codes_b]
        nearest_b = other_b / (counts_k.sum() - own_b)
    else:
        means_bk = sums_bk / counts_k
        means_bk[rows, codes_b] = np.inf
        nearest_b = means_bk.min(1)
    widest_b = np.maximum(within_b, nearest_b)
    defined_b = (own_b > 1) & (widest_b > 0)
    widths: Floats = np.where(
        defined_b, (nearest_b - within_b) / np.where(defined_b, widest_b, 1), 0.0
    )
    return widths
