"""The gene graph that the model's graph convolution runs over."""

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
            raise InputError(f"{path} is not a gene graph: its number of genes is none")
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
