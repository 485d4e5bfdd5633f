"""Clusters of an embedding beside cell types: NMI and ARI."""

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from sclong_tasks.metrics.embedding import checked_embedding

_STARTS = 3


def kmeans_clusters(
    embedding: npt.ArrayLike, clusters: int, *, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Clusters of k-means; fewer where cells have fewer different places.

    Raises:
        InputError: a value is not a number.
    """
    values, _, _ = checked_embedding(embedding, np.zeros(len(np.asarray(embedding))))
    places = len(np.unique(values[:, : min(values.shape[1], 50)], axis=0))
    if places < clusters:
        places = len(np.unique(values, axis=0))
    chosen = min(clusters, places)
    found = KMeans(chosen, n_init=_STARTS, random_state=seed).fit_predict(values)
    return np.asarray(found, dtype=np.int64)


def nmi_and_ari(
    embedding: npt.ArrayLike, cell_types: npt.ArrayLike, *, seed: int = 0
) -> tuple[float, float]:
    """Normalised mutual information and adjusted Rand index of cell types and k-means clusters.

    As many clusters as there are types; NaN for both with one type.
    """
    kinds = np.unique(np.asarray(cell_types).astype(str), return_inverse=True)
    if len(kinds[0]) < 2:
        return float("nan"), float("nan")
    found = kmeans_clusters(embedding, len(kinds[0]), seed=seed)
    nmi = normalized_mutual_info_score(kinds[1], found)
    return float(nmi), float(adjusted_rand_score(kinds[1], found))
