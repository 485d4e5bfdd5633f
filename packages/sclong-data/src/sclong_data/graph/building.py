"""From similarities of genes to the graph that the model's graph convolution runs over."""

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError, InputError
from sclong_core.graph import GeneGraph
from sclong_data.graph.similarity import GeneSimilarity, TermSimilarity

OwnEdges = Literal["always", "ranked"]
NEIGHBOURS = 20
"""Most similar genes that are kept of each gene (paper, Methods)."""
THRESHOLD = 0.1
"""Similarities must be over this one (the release's annotation graph)."""
_BLOCK = 512
"""Genes at a time: the product of a block with all genes is the largest thing in memory."""


def build_gene_graph(
    gene_to_terms: Mapping[str, Iterable[Hashable]],
    genes: Sequence[str],
    neighbours: int = NEIGHBOURS,
    threshold: float = THRESHOLD,
) -> GeneGraph:
    """The paper's gene graph: each gene with the genes whose sets of terms are most like its own.

    Args:
        gene_to_terms: the terms that each gene is annotated with; genes may be left out.
        genes: the genes in the order of the vocabulary.
        neighbours: as :func:`graph_of`.
        threshold: as :func:`graph_of`.

    Raises:
        InputError: a gene is there twice, or none has a term.
        ConfigError: as :func:`graph_of`.
    """
    if len(set(genes)) != len(genes):
        raise InputError("a gene graph needs each gene once: the list of genes repeats some")
    return graph_of(TermSimilarity(gene_to_terms, genes), neighbours, threshold)


def graph_of(
    similarity: GeneSimilarity,
    neighbours: int = NEIGHBOURS,
    threshold: float = THRESHOLD,
    *,
    own_edges: OwnEdges = "always",
    progress: Callable[[int], None] | None = None,
) -> GeneGraph:
    """The graph of the most similar genes.

    An edge goes to each gene from those most similar to it, and its weight is their similarity.
    Among equally similar genes those that come first in the vocabulary are taken. Every gene that
    the source knows has an edge to itself of weight 1, beside its neighbours.

    Args:
        similarity: of every two genes.
        neighbours: how many others are taken of each gene, at most.
        threshold: only pairs that are more similar than this are joined.
        own_edges: "always", or "ranked" as the release has them: a gene stands among its
            neighbours, one more of which is taken, and loses its own edge where that many genes
            before it in the vocabulary have the same terms.
        progress: called with the number of genes done after each block.

    Raises:
        ConfigError: ``neighbours`` is under 1, ``threshold`` not in 0 to below 1, or ``own_edges``
            something else.
    """
    if neighbours < 1:
        raise ConfigError(f"neighbours must be 1 or more, not {neighbours}")
    if not 0 <= threshold < 1:
        raise ConfigError(f"threshold must be at least 0 and below 1, not {threshold}")
    if own_edges not in get_args(OwnEdges):
        listed = " or ".join(get_args(OwnEdges))
        raise ConfigError(f"own edges must be {listed}, not {own_edges!r}")
    genes = similarity.genes
    known = np.flatnonzero(similarity.known())
    ranked = known if own_edges == "ranked" else known[:0]
    parts = [] if own_edges == "ranked" else [(known, known, np.ones(known.size))]
    for start in range(0, genes, _BLOCK):
        stop = min(start + _BLOCK, genes)
        own = ranked[(ranked >= start) & (ranked < stop)]
        count = neighbours + (own_edges == "ranked")
        parts.append(_strongest(similarity, (start, stop), count, threshold, own))
        if progress is not None:
            progress(stop)
    source, target, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((target, source))
    edges = np.stack([source, target]).astype(np.int64)[:, order]
    return GeneGraph(genes, edges, weight[order].astype(np.float32))


def _strongest(
    similarity: GeneSimilarity,
    genes: tuple[int, int],
    neighbours: int,
    threshold: float,
    own: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Sources, targets and weights of the edges to the genes of a block.

    They are from other genes, and from those in ``own`` to themselves where they rank high enough.
    """
    start, stop = genes
    block = similarity.rows(start, stop, threshold)
    lengths = np.diff(block.indptr)
    target = np.repeat(np.arange(start, stop), lengths)
    # One more than asked for, because the gene itself may be among them.
    enough = [
        _at_least(block.data[begin:end], neighbours + 1)
        for begin, end in itertools.pairwise(block.indptr)
    ]
    chosen = (block.data >= np.repeat(enough, lengths)) & (block.indices != target)
    target = np.concatenate([target[chosen], own])
    source = np.concatenate([block.indices[chosen], own])
    weight = np.concatenate([block.data[chosen], np.ones(own.size)])
    order = np.lexsort((source, -weight, target))
    target, source, weight = target[order], source[order], weight[order]
    first = np.searchsorted(target, target)
    best = np.arange(target.size) - first < neighbours
    return source[best].astype(np.int64), target[best], weight[best]


def _at_least(values: npt.NDArray[np.float64], count: int) -> float:
    """The value that ``count`` of the values reach, or 0 where there are not so many."""
    return float(np.partition(values, -count)[-count]) if values.size > count else 0.0
