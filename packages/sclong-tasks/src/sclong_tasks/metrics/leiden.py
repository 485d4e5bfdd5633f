"""Clusters of the graph of neighbours by Leiden, at the resolution that suits cell types best."""

import random
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from sclong_core.errors import ConfigError
from sclong_tasks.metrics.neighbours import GRAPH_NEIGHBOURS, Ints, Neighbours

RESOLUTIONS = tuple(step / 10 for step in range(1, 21))
"""0.1 to 2, as scIB tries them."""


def require_leiden() -> None:
    """Raise ConfigError unless igraph is installed."""
    if find_spec("igraph") is None:
        raise ConfigError("Leiden needs the package igraph: pip install 'sclong-tasks[leiden]'")


def leiden_clusters(
    found: Neighbours,
    resolution: float = 1.0,
    *,
    neighbours: int = GRAPH_NEIGHBOURS,
    seed: int = 0,
) -> Ints:
    """Clusters that maximise modularity (Traag et al. 2019).

    Two cells are joined if one is among the nearest of the other, by an edge that counts twice
    where both are.

    Raises:
        ConfigError: igraph is not installed.
    """
    return _clusters(_graph(found, neighbours), resolution, seed)


def nmi_and_ari_of_leiden(
    found: Neighbours | None,
    cell_types: npt.ArrayLike,
    *,
    neighbours: int = GRAPH_NEIGHBOURS,
    seed: int = 0,
    resolutions: Sequence[float] = RESOLUTIONS,
) -> tuple[float, float]:
    """NMI and ARI of cell types and Leiden's clusters, at the resolution of the highest NMI.

    The types choose the resolution, as in scIB: these numbers are upper ends. NaN for both with one
    type, or where all cells have one place.

    Raises:
        ConfigError: igraph is not installed.
    """
    kinds, codes = np.unique(np.asarray(cell_types).astype(str), return_inverse=True)
    if found is None or len(kinds) < 2:
        return float("nan"), float("nan")
    graph = _graph(found, neighbours)
    best = (-1.0, 0.0)
    for resolution in resolutions:
        clusters = _clusters(graph, resolution, seed)
        nmi = float(normalized_mutual_info_score(codes, clusters))
        if nmi > best[0]:
            best = (nmi, float(adjusted_rand_score(codes, clusters)))
    return best


def _graph(found: Neighbours, neighbours: int) -> "object":
    require_leiden()
    import igraph  # noqa: PLC0415  # an extra

    near_nk = found.cells_nk[:, : neighbours - 1]
    ends = np.c_[np.repeat(np.arange(len(near_nk)), near_nk.shape[1]), near_nk.ravel()]
    pairs, counts = np.unique(np.sort(ends, axis=1), axis=0, return_counts=True)
    graph = igraph.Graph(n=len(near_nk), edges=pairs.tolist())
    graph.es["weight"] = counts.tolist()
    return graph


def _clusters(graph: "object", resolution: float, seed: int) -> Ints:
    import igraph  # noqa: PLC0415  # an extra

    # igraph has one generator for all: it is lent ours, and given Python's back.
    igraph.set_random_number_generator(random.Random(seed))  # noqa: S311  # no secret
    try:
        found = graph.community_leiden(  # type: ignore[attr-defined]  # a graph of igraph
            objective_function="modularity",
            weights="weight",
            resolution=resolution,
            n_iterations=-1,
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership, dtype=np.int64)
