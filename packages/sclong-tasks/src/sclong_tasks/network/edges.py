"""Similarities of genes, the highest of them, a null, and what a graph has of them.

Shapes: n cells, g genes, c width of a gene vector, e edges, p pairs of genes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.stats import false_discovery_control, norm

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
_BINS = 5
"""Of genes by expression: 15 kinds of pairs."""
_SHUFFLES = 1_000
_FEWEST_PAIRS = 20


@dataclass(frozen=True)
class Edges:
    """Pairs of genes, the highest first."""

    source_e: Places
    target_e: Places
    """Always another gene than the source, and the higher number of the two."""

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.source_e)


@dataclass(frozen=True)
class Enrichment:
    """How many edges are edges of a graph, beside random ones of the same degrees."""

    edges: int
    """With both genes in the graph."""
    found: int
    expected: float
    odds_ratio: float
    p: float
    """One-sided: share of the shuffled networks with as many."""


def cosine(vectors_gc: npt.NDArray[np.floating]) -> Doubles:
    """``(g, g)`` cosine similarity of the vectors of genes, less their mean over genes."""
    centred = np.asarray(vectors_gc, dtype=np.float64)
    centred = centred - centred.mean(0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    found: Doubles = np.clip(unit @ unit.T, -1, 1)
    return found


def beyond_both(attention_gg: npt.NDArray[np.floating]) -> Doubles:
    """``(g, g)`` log2 of attention over what its row and column have in general, both ways."""
    weights = np.maximum(np.asarray(attention_gg, dtype=np.float64), 1e-30)
    usual = weights.mean(1, keepdims=True) * weights.mean(0, keepdims=True) / weights.mean()
    both = np.log2(weights / usual)
    found: Doubles = (both + both.T) / 2
    return found


def strongest(weight_gg: Doubles, top: int, per_gene: int | None) -> Edges:
    """The pairs of the highest weights, each once; of equal ones those that come first.

    Args:
        weight_gg: symmetric; the diagonal is not looked at.
        top: so many pairs of all.
        per_gene: instead, so many of each gene: a pair is there if it is one of either gene's.
    """
    genes = len(weight_gg)
    if per_gene is None:
        row, column = np.triu_indices(genes, k=1)
        values = weight_gg[row, column]
    else:
        masked = weight_gg.copy()
        np.fill_diagonal(masked, -np.inf)
        nearest = np.argsort(-masked, axis=1, kind="stable")[:, : min(per_gene, genes - 1)]
        one, other = np.repeat(np.arange(genes), nearest.shape[1]), nearest.ravel()
        keys = np.unique(np.minimum(one, other) * genes + np.maximum(one, other))
        row, column = keys // genes, keys % genes
        values = weight_gg[row, column]
        top = len(keys)
    order = np.argsort(-values, kind="stable")[:top]
    return Edges(row[order].astype(np.int64), column[order].astype(np.int64))


def significance(
    weight_gg: Doubles, mean_g: Doubles, edges: Edges, *, correlation: bool
) -> tuple[Doubles, Doubles]:
    """``(e,)`` p-values of edges beside pairs of genes of like expression, and corrected ones.

    Genes are binned by mean expression. The weights of all pairs of two bins have a middle
    (median) and a spread (from the quartiles), and p is the upper tail of the normal distribution
    with them. Benjamini and Hochberg's correction counts all pairs as tests, not the edges alone.

    Args:
        weight_gg: symmetric.
        mean_g: mean expression of the genes.
        edges: to judge.
        correlation: weights are between -1 and 1 and are made normal by Fisher's transformation.
    """
    genes = len(weight_gg)
    bins = np.argsort(np.argsort(mean_g, kind="stable"), kind="stable") * _BINS // genes
    values = np.arctanh(np.clip(weight_gg, -0.999999, 0.999999)) if correlation else weight_gg
    row, column = np.triu_indices(genes, k=1)
    low, high = np.minimum(bins[row], bins[column]), np.maximum(bins[row], bins[column])
    kind_p, value_p = low * _BINS + high, values[row, column]
    p = np.ones(len(value_p))
    for kind in np.unique(kind_p):
        inside = kind_p == kind
        first, middle, third = np.quantile(value_p[inside], [0.25, 0.5, 0.75])
        spread = (third - first) / (2 * norm.ppf(0.75))
        if inside.sum() >= _FEWEST_PAIRS and spread > 0:
            p[inside] = norm.sf((value_p[inside] - middle) / spread)
    q = false_discovery_control(p)
    before = edges.source_e * (2 * genes - edges.source_e - 1) // 2
    places = before + edges.target_e - edges.source_e - 1
    return p[places], q[places]


def enrichment(edges: Edges, graph_gg: sparse.csr_array, seed: int) -> Enrichment:
    """Edges that a graph has, beside those of random networks with the same degrees.

    Edges with a gene that the graph does not join to another are left out. The ends of the edges
    are paired at random, so that each gene keeps its number of edges.

    Args:
        edges: of a network.
        graph_gg: symmetric, without a diagonal.
        seed: of the shuffles.
    """
    known_g = np.diff(graph_gg.indptr) > 0
    kept = known_g[edges.source_e] & known_g[edges.target_e]
    ends = np.concatenate([edges.source_e[kept], edges.target_e[kept]])
    count = int(kept.sum())
    if not count:
        return Enrichment(0, 0, float("nan"), float("nan"), float("nan"))
    genes = graph_gg.shape[0]
    joined = graph_gg.tocoo()
    keys = np.sort(joined.row.astype(np.int64) * genes + joined.col)

    def among(one: Places, other: Places) -> npt.NDArray[np.bool_]:
        asked = one * genes + other
        place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
        return np.asarray(keys[place] == asked, dtype=bool)

    found = int(among(ends[:count], ends[count:]).sum())
    generator = np.random.default_rng(seed)
    null = np.empty(_SHUFFLES)
    for draw in range(_SHUFFLES):
        mixed = generator.permutation(ends)
        one, other = mixed[:count], mixed[count:]
        apart = one != other
        null[draw] = among(one[apart], other[apart]).mean() * count if apart.any() else 0
    expected = float(null.mean())
    # Half an edge added to each number: neither zero found nor zero expected makes it infinite.
    odds = (found + 0.5) / (count - found + 0.5)
    odds /= (expected + 0.5) / (count - expected + 0.5)
    return Enrichment(
        count, found, expected, odds, float((1 + (null >= found).sum()) / (1 + _SHUFFLES))
    )
