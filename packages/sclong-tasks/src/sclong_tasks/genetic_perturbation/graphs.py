"""GEARS's two graphs of genes: which are expressed together, and which have similar annotations.

Both keep the 20 most similar genes of each gene. Legend: c cells, g genes.
"""

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sclong_core.graph import GeneGraph
from sclong_data.graph.building import graph_of
from sclong_data.graph.reading import read_annotations
from sclong_data.graph.similarity import TermSimilarity

_LOG = logging.getLogger("sclong")
Floats = npt.NDArray[np.float64]
Terms = Mapping[str, AbstractSet[str]]


class Correlation:
    """Absolute Pearson correlation of genes over cells; a gene without variance has none.

    Args:
        cells: ``(c, g)``.
    """

    def __init__(self, cells: sparse.csr_matrix) -> None:
        self.cells = sparse.csc_matrix(cells, dtype=np.float64)
        self.mean_g: Floats = np.asarray(self.cells.mean(axis=0)).ravel()
        square_g = np.asarray(self.cells.multiply(self.cells).mean(axis=0)).ravel()
        variance_g = square_g - self.mean_g**2
        varies = variance_g > 1e-12 * np.maximum(square_g, 1e-300)
        self.scale_g: Floats = np.where(varies, 1 / np.sqrt(np.where(varies, variance_g, 1)), 0)

    @property
    def genes(self) -> int:
        """Number of genes."""
        return int(self.cells.shape[1])

    def known(self) -> npt.NDArray[np.bool_]:
        """Genes with variance."""
        found: npt.NDArray[np.bool_] = self.scale_g > 0
        return found

    def rows(self, start: int, stop: int, over: float) -> sparse.csr_array:
        """``(stop - start, g)`` values above ``over``."""
        products = (self.cells[:, start:stop].T @ self.cells).toarray() / self.cells.shape[0]
        covariance = products - np.outer(self.mean_g[start:stop], self.mean_g)
        scale = np.outer(self.scale_g[start:stop], self.scale_g)
        found = np.minimum(np.abs(covariance * scale), 1.0)
        return sparse.csr_array(np.where(found > over, found, 0.0))


def coexpression_graph(cells: sparse.csr_matrix, neighbours: int, threshold: float) -> GeneGraph:
    """Genes that are correlated over these cells."""
    return graph_of(Correlation(cells), neighbours, threshold)


def annotation_graph(
    terms: Terms, genes: Sequence[str], neighbours: int, threshold: float
) -> GeneGraph:
    """Genes that share terms of the Gene Ontology, by Jaccard's index."""
    if not any(terms.get(gene) for gene in genes):
        _LOG.warning(
            "there are no annotations of genes: what a gene does that was never perturbed is "
            "learnt from nothing; prepare the data with a file of Gene Ontology annotations"
        )
        return GeneGraph(len(genes), np.empty((2, 0), np.int64), np.empty(0, np.float32))
    return graph_of(TermSimilarity(terms, genes), neighbours, threshold)


def without_neighbours(graph: GeneGraph) -> npt.NDArray[np.bool_]:
    """``(g,)`` genes that nothing but themselves leads to."""
    source, target = graph.edge_index
    found = np.ones(graph.genes, dtype=bool)
    found[target[source != target]] = False
    return found


def read_terms(path: Path, genes: AbstractSet[str]) -> dict[str, set[str]]:
    """Terms of genes, from any file of annotations, by the names that the data have."""
    found: dict[str, set[str]] = {}
    for said in read_annotations(path):
        for name in said.names if not said.out else ():
            if name in genes:
                found.setdefault(name, set()).add(said.term)
    _LOG.info("%s annotates %d of %d genes", path.name, len(found), len(genes))
    return found
