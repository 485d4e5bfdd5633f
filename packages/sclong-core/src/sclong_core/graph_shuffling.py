"""A gene graph whose edges lead elsewhere: what a model knows from edges, not from their number.

The paper's random graph draws weights and keeps who is joined to whom, so that it cannot tell
whether the edges matter. Here targets are swapped between pairs of edges, many times over (the
switching algorithm of Rao, Jana and Bandyopadhyay, Sankhya 1996).
"""

import numpy as np
import numpy.typing as npt

from sclong_core.graph import GeneGraph

_ROUNDS = 20
"""In each of which nearly every edge is tried with one other."""
Places = npt.NDArray[np.int64]


def shuffle_edges(graph: GeneGraph, seed: int) -> GeneGraph:
    """The same number of edges from and to each gene, and the same weights at each target.

    Edges of a gene to itself stay; no edge occurs twice, and none becomes one of a gene to itself.
    Where a gene is joined to nearly all others little can be swapped.

    Args:
        graph: left as it is.
        seed: of the swaps.
    """
    generator = np.random.default_rng(seed)
    moving = np.flatnonzero(graph.edge_index[0] != graph.edge_index[1])
    source, target = graph.edge_index[:, moving]
    weight = graph.edge_weight[moving].copy()
    target = target.copy()
    half = len(moving) // 2
    for _ in range(_ROUNDS):
        order = generator.permutation(len(moving))
        one, other = order[:half], order[half : 2 * half]
        swapped = _free(graph.genes, source, target, one, other)
        one, other = one[swapped], other[swapped]
        for values in (target, weight):
            values[one], values[other] = values[other], values[one]
    edges, weights = graph.edge_index.copy(), graph.edge_weight.copy()
    edges[1, moving], weights[moving] = target, weight
    return GeneGraph(graph.genes, edges, weights)


def _free(genes: int, source: Places, target: Places, one: Places, other: Places) -> Places:
    """Pairs of edges that can swap their targets: to edges that are not there, and to one each."""
    first = source[one] * genes + target[other]
    second = source[other] * genes + target[one]
    made = np.concatenate([first, second])
    there = np.isin(made, source * genes + target)
    _, places, counts = np.unique(made, return_inverse=True, return_counts=True)
    good = ~there & (counts[places] == 1)
    loops = (source[one] == target[other]) | (source[other] == target[one])
    return np.flatnonzero(good[: len(one)] & good[len(one) :] & ~loops)
