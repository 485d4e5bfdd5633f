"""The gene graph: which gene is joined to which, and how strongly; and one with other edges.

The paper's random graph draws weights and keeps who is joined to whom, so that it cannot tell
whether the edges matter. In a shuffled graph targets are swapped between
pairs of edges, many times over (the switching algorithm of Rao, Jana and Bandyopadhyay, Sankhya
1996).
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Self

import numpy as np
import numpy.typing as npt

from sclong_core.array_files import read_arrays
from sclong_core.errors import InputError
from sclong_core.files import atomic_file


@dataclass(frozen=True)
class GeneGraph:
    """Directed, weighted edges between positions of a vocabulary.

    In the paper an edge joins genes with similar Gene Ontology annotations and its weight is the
    Jaccard index of their term sets; a gene has an edge to itself with weight 1.

    Args:
        genes: number of genes of the vocabulary.
        edge_index: ``(2, edges)`` int64, rows source and target.
        edge_weight: ``(edges,)`` float32, finite and positive.

    Raises:
        InputError: shapes, types or values are not those of a graph over ``genes`` genes, or an
            edge occurs twice.
    """

    genes: int
    edge_index: npt.NDArray[np.int64]
    edge_weight: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        """Refuse arrays that are not a graph, and make them read-only."""
        index, weight = self.edge_index, self.edge_weight
        if index.ndim != 2 or index.shape[0] != 2 or weight.shape != index.shape[1:]:
            raise InputError(
                "gene graph needs edges (2, n) and weights (n,), "
                f"not {index.shape} and {weight.shape}"
            )
        if index.dtype != np.int64 or weight.dtype != np.float32:
            raise InputError(
                "gene graph needs int64 edges and float32 weights, "
                f"not {index.dtype} and {weight.dtype}"
            )
        if index.size and (index.min() < 0 or index.max() >= self.genes):
            raise InputError(f"gene graph has an edge outside its {self.genes} genes")
        if not (np.isfinite(weight).all() and (weight > 0).all()):
            raise InputError("gene graph has a weight that is not positive and finite")
        if not self._is_sorted and np.unique(self._keys).size != weight.size:
            raise InputError("gene graph has the same edge twice: merge repeated edges first")
        index.setflags(write=False)
        weight.setflags(write=False)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Read ``graph.npz``. Nothing in it is ever unpickled.

        Raises:
            InputError: the file is damaged or not a gene graph.
        """
        arrays = read_arrays(path, ("genes", "edge_index", "edge_weight"), "a gene graph")
        if arrays["genes"].shape != () or arrays["genes"].dtype.kind not in "iu":
            raise InputError(f"{path} is not a gene graph: its number of genes is not a number")
        return cls(int(arrays["genes"]), arrays["edge_index"], arrays["edge_weight"])

    def write(self, path: str | PathLike[str]) -> None:
        """Write ``graph.npz`` with the arrays ``genes``, ``edge_index`` and ``edge_weight``."""
        with atomic_file(path) as temporary, temporary.open("wb") as handle:
            np.savez(
                handle,
                genes=np.int64(self.genes),
                edge_index=self.edge_index,
                edge_weight=self.edge_weight,
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the edges sorted by source and target: independent of their order."""
        index, weight = self.edge_index, self.edge_weight
        if not self._is_sorted:
            order = np.argsort(self._keys)
            index, weight = index[:, order], weight[order]
        digest = hashlib.sha256(str(self.genes).encode())
        digest.update(np.ascontiguousarray(index).astype("<i8", copy=False).tobytes())
        digest.update(np.ascontiguousarray(weight).astype("<f4", copy=False).tobytes())
        return digest.hexdigest()

    @property
    def _keys(self) -> npt.NDArray[np.int64]:
        """One number an edge, in the order of source and target."""
        keys: npt.NDArray[np.int64] = self.edge_index[0] * self.genes + self.edge_index[1]
        return keys

    @cached_property
    def _is_sorted(self) -> bool:
        """Strictly by source and target: then no edge is there twice, and nothing need be sorted.

        A converted release is. Sorting ten million edges takes longer than reading them.
        """
        return bool((np.diff(self._keys) > 0).all())


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
