"""Are markers more alike than genes that are expressed as much? And what the heat maps show.

Shapes: g genes of one cell type, m markers, d numbers of a representation, s random sets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import false_discovery_control, hypergeom

from sclong_tasks.marker_clustering.config import MarkerSettings
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.metrics.delong import auroc
from sclong_tasks.metrics.intervals import mean_over
from sclong_tasks.task import Metric, Rows

Floats = npt.NDArray[np.float64]
Genes = npt.NDArray[np.int64]
_ROUNDING = 1e-12
_DECIMALS = 10
"""Similarities that agree so far are ties."""


def unit_vectors(vectors_gd: npt.ArrayLike) -> Floats:
    """Each at length 1, in double precision; a vector of zeros stays: it is like nothing."""
    vectors = np.asarray(vectors_gd, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Floats = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return found


def cumulative_similarity(units_gd: Floats) -> Floats:
    """``(g,)`` sum of cosines with all genes, without the matrix of them: ``u . sum(u)``."""
    found: Floats = units_gd @ units_gd.sum(0)
    return found


def top_genes(units_gd: Floats, top: int) -> Genes:
    """Genes of the highest cumulative similarity, highest first; ties in the order of the genes."""
    score = np.round(cumulative_similarity(units_gd), _DECIMALS)
    return np.argsort(-score, kind="stable")[:top].astype(np.int64)


def within(units_gd: Floats, sets_sm: Genes) -> Floats:
    """``(s,)`` mean cosine of the pairs of genes in each set."""
    count = sets_sm.shape[1]
    length = (units_gd**2).sum(1)
    sums_sd = np.array([units_gd[one].sum(0) for one in sets_sm])
    found: Floats = ((sums_sd**2).sum(1) - length[sets_sm].sum(1)) / (count * (count - 1))
    return found


def matched_sets(
    mean_g: Floats, markers_m: Genes, *, draws: int, near: int, seed: int
) -> tuple[Genes, Genes]:
    """Random sets of genes that are expressed as the markers are, and the pool that they are of.

    Each marker is replaced by one of the ``near`` other genes that are nearest to it in rank of
    mean expression; no gene is twice in a set, as far as there are enough.

    Args:
        mean_g: mean expression of each gene.
        markers_m: which genes are markers.
        draws: number of sets.
        near: genes to choose from for each marker.
        seed: of the draws.

    Returns:
        ``(s, m)`` sets, and all genes to choose from, ascending.
    """
    rank_g = np.argsort(np.argsort(mean_g, kind="stable"), kind="stable")
    others = np.setdiff1d(np.arange(len(mean_g)), markers_m)
    count = min(near, len(others))
    distance = np.abs(rank_g[others][None, :] - rank_g[markers_m][:, None])
    choice = others[np.argsort(distance, axis=1, kind="stable")[:, :count]]
    generator = np.random.default_rng(seed)
    sets = np.empty((draws, len(markers_m)), dtype=np.int64)
    for draw in range(draws):
        taken: set[int] = set()
        for place in generator.permutation(len(markers_m)):
            free = [gene for gene in choice[place].tolist() if gene not in taken]
            gene = int(generator.choice(free or choice[place].tolist()))
            taken.add(gene)
            sets[draw, place] = gene
    return sets, np.unique(choice)


def share_reached(observed: float, random_s: Floats) -> float:
    """One-sided p-value: share of random sets, with the observed one, that reach as high."""
    return float((1 + (random_s >= observed - _ROUNDING).sum()) / (1 + len(random_s)))


def gene_clusters(units_gd: Floats, clusters: int) -> npt.NDArray[np.int64]:
    """``(g,)`` clusters, from 0: average linkage of cosine distances, cut into so many."""
    if len(units_gd) < 2:
        return np.zeros(len(units_gd), dtype=np.int64)
    distance = np.clip(1 - units_gd @ units_gd.T, 0, None)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(np.round(distance, _DECIMALS), checks=False), method="average")
    found: npt.NDArray[np.int64] = fcluster(tree, clusters, criterion="maxclust").astype(np.int64)
    return found - 1


def cluster_enrichment(labels_g: npt.NDArray[np.int64], sets_sm: Genes) -> Floats:
    """``(s,)`` smallest hypergeometric p-value of each set in a cluster, times the clusters.

    As :func:`scipy.stats.hypergeom.sf` of one less than the shared genes; at most 1.
    """
    sizes = np.bincount(labels_g)
    count = sets_sm.shape[1]
    shared = np.arange(count + 1)
    table = np.array([hypergeom.sf(shared - 1, len(labels_g), size, count) for size in sizes])
    found = np.empty(len(sets_sm))
    for number, one in enumerate(sets_sm):
        hits = np.bincount(labels_g[one], minlength=len(sizes))
        found[number] = table[np.arange(len(sizes)), np.minimum(hits, count)].min() * len(sizes)
    return np.minimum(found, 1.0)


def retrieval(units_gd: Floats, markers_m: Genes, pool: Genes) -> float:
    """Mean AUROC of finding the other markers among genes of like expression, from each marker."""
    rest = np.setdiff1d(pool, markers_m)
    areas = []
    for place, marker in enumerate(markers_m):
        others = np.concatenate([np.delete(markers_m, place), rest])
        truth = np.arange(len(others)) < len(markers_m) - 1
        score = np.round(units_gd[others] @ units_gd[marker], _DECIMALS)
        areas.append(auroc(truth, score).value)
    return float(np.mean(areas))


def clustered_order(values_gg: Floats) -> tuple[Genes, Floats]:
    """Order of genes and the tree behind it, as seaborn's clustermap: rows, average, Euclidean."""
    if len(values_gg) < 2:
        return np.arange(len(values_gg)), np.zeros((0, 4))
    tree: Floats = linkage(pdist(values_gg), method="average")
    return leaves_list(tree).astype(np.int64), tree


@dataclass(frozen=True)
class TypeResult:
    """What one cell type gives."""

    excess: float
    """Mean cosine of markers, less that of sets of like expression."""
    z: float
    """The same in standard deviations of these; NaN where they never vary."""
    p_value: float
    difference: float
    """Mean cosine of markers, less that of markers and other genes."""
    auroc: float
    top: float
    """Markers among the top genes."""
    top_matched: float
    """The same of sets of like expression."""
    cluster_p: float
    """Share of sets of like expression that are as much in one cluster as markers are."""
    cluster_log10: float
    """-log10 of the hypergeometric p-value, times the clusters."""


def measure_type(  # one argument for each setting would be longer
    vectors_gd: npt.ArrayLike,
    markers_m: Genes,
    mean_g: Floats,
    *,
    sizes: "Sizes",
    seed: int,
) -> TypeResult:
    """All numbers of one cell type.

    Args:
        vectors_gd: representation of each gene.
        markers_m: which are markers, at least three.
        mean_g: mean expression.
        sizes: of sets, clusters and tops.
        seed: of random sets.
    """
    units = unit_vectors(vectors_gd)
    sets, pool = matched_sets(mean_g, markers_m, draws=sizes.draws, near=sizes.near, seed=seed)
    observed, random = float(within(units, markers_m[None])[0]), within(units, sets)
    spread = float(random.std(ddof=1)) if len(random) > 1 else 0.0
    rest = np.setdiff1d(np.arange(len(units)), markers_m)
    between = float(units[markers_m].mean(0) @ units[rest].mean(0))
    top = np.zeros(len(units))
    top[top_genes(units, sizes.top)] = 1
    kept = np.union1d(np.argsort(-mean_g, kind="stable")[: sizes.cluster_genes], markers_m)
    place = np.full(len(units), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    labels = gene_clusters(units[kept], sizes.clusters)
    enriched = float(cluster_enrichment(labels, place[markers_m][None])[0])
    inside = sets[(place[sets] >= 0).all(1)]
    alike = cluster_enrichment(labels, place[inside]) if len(inside) else np.zeros(0)
    return TypeResult(
        excess=observed - float(random.mean()),
        z=(observed - float(random.mean())) / spread if spread > _ROUNDING else float("nan"),
        p_value=share_reached(observed, random),
        difference=observed - between,
        auroc=retrieval(units, markers_m, pool),
        top=float(top[markers_m].sum()),
        top_matched=float(top[sets].sum(1).mean()),
        cluster_p=share_reached(-enriched, -alike),
        cluster_log10=float(-np.log10(max(enriched, np.finfo(float).tiny))),
    )


@dataclass(frozen=True)
class Sizes:
    """Of random sets, clusters and tops."""

    draws: int = 1000
    near: int = 50
    top: int = 50
    clusters: int = 10
    cluster_genes: int = 1000


_LEVEL = 0.05


def measure(
    data: MarkerData, predictions: pd.DataFrame, rows: Rows, settings: MarkerSettings
) -> list[Metric]:
    """Means over cell types, shares of them, and each type's own z.

    Args:
        data: with markers.
        predictions: a vector for each row.
        rows: that were predicted.
        settings: sizes and draws.
    """
    sizes = Sizes(
        settings.draws, settings.near, settings.top, settings.clusters, settings.cluster_genes
    )
    vectors = predictions.to_numpy()
    results: dict[str, TypeResult] = {}
    for place, kind in enumerate(data.kinds):
        here = np.flatnonzero(data.kind[rows] == place)
        chosen = np.asarray(rows)[here]
        marked = np.flatnonzero(data.marker[chosen] == 1)
        # The same random sets for every model and seed: they compare on the same ground.
        results[kind] = measure_type(
            vectors[here], marked, data.mean[chosen], sizes=sizes, seed=place
        )
    return _summary(results, settings.bootstrap)


def _summary(results: dict[str, TypeResult], draws: int) -> list[Metric]:
    def mean(name: str, value: Callable[[TypeResult], float], *, higher: bool = True) -> Metric:
        return _over_types(name, [value(one) for one in results.values()], draws, higher=higher)

    similar = _discoveries([one.p_value for one in results.values()])
    clustered = _discoveries([one.cluster_p for one in results.values()])
    found = [
        mean("marker_z", lambda one: one.z),
        mean("marker_excess", lambda one: one.excess),
        mean("marker_difference", lambda one: one.difference),
        mean("marker_auroc", lambda one: one.auroc),
        mean("top_markers", lambda one: one.top),
        mean("top_matched", lambda one: one.top_matched, higher=False),
        mean("cluster_log10_p", lambda one: one.cluster_log10),
        _over_types("similar_types", similar, draws),
        _over_types("clustered_types", clustered, draws),
    ]
    return found + [
        Metric("marker_z", one.z, 1, higher_is_better=True, unit="cell type", stratum=kind)
        for kind, one in results.items()
    ]


def _discoveries(p_values: list[float]) -> list[float]:
    """1 for types that stand out at a false discovery rate of 5 % (Benjamini-Hochberg), else 0."""
    return [float(adjusted <= _LEVEL) for adjusted in false_discovery_control(p_values)]


def _over_types(name: str, values: list[float], draws: int, *, higher: bool = True) -> Metric:
    """The mean over types; those where it is not defined are not counted."""
    known = [value for value in values if np.isfinite(value)]
    return mean_over(name, known, unit="cell type", draws=draws, higher_is_better=higher)
