"""The graph that a network of genes is compared to."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sclong_core.embedding.inference import vocabulary_of
from sclong_core.errors import InputError
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong
from sclong_data.graph.building import build_gene_graph
from sclong_data.graph.reading import read_annotations

_LOG = logging.getLogger("sclong")


def reference_graph(model: ScLong, path: Path | None) -> GeneGraph | None:
    """Edges between genes of a model's vocabulary: from a file, or else the model's own.

    Args:
        model: with a vocabulary.
        path: ``graph.npz`` of the same vocabulary, or annotations of any kind that
            :func:`~sclong_data.graph.reading.read_annotations` reads.

    Raises:
        InputError: the file is damaged, or of other genes.
    """
    vocabulary = vocabulary_of(model)
    if path is None:
        if model.graph is not None:
            _LOG.info("the model was given its gene graph as input: edges of it are no discovery")
        return model.graph
    if not path.is_file():
        raise InputError(f"{path} is not a file: give graph.npz, or Gene Ontology annotations")
    if path.suffix == ".npz":
        graph = GeneGraph.read(path)
        if graph.genes != len(vocabulary):
            raise InputError(
                f"{path} is a graph of {graph.genes:,} genes, and the model has "
                f"{len(vocabulary):,}: build it with this model's vocabulary.tsv"
            )
        return graph
    terms: dict[str, set[str]] = {}
    said = [(one.names, one.term) for one in read_annotations(path) if not one.out]
    names = list({name for found, _ in said for name in found})
    known = dict(zip(names, vocabulary.lookup(names).tolist(), strict=True))
    for found, term in said:
        place = next((known[name] for name in found if known[name] >= 0), -1)
        if place >= 0:
            terms.setdefault(vocabulary.ids[place], set()).add(term)
    if not terms:
        raise InputError(f"{path} annotates none of the model's genes: give human annotations")
    _LOG.info("%s annotates %s of the model's genes", path.name, f"{len(terms):,}")
    return build_gene_graph(terms, vocabulary.ids)


def between(graph: GeneGraph, positions: npt.NDArray[np.int64]) -> sparse.csr_array:
    """``(genes, genes)`` which of some genes a graph joins, either way; none to itself."""
    place = np.full(graph.genes, -1, dtype=np.int64)
    place[positions] = np.arange(len(positions))
    one, other = place[graph.edge_index]
    kept = (one >= 0) & (other >= 0) & (one != other)
    one, other = one[kept], other[kept]
    shape = (len(positions), len(positions))
    joined = sparse.csr_array(
        (np.ones(2 * len(one)), (np.r_[one, other], np.r_[other, one])), shape
    )
    joined.sum_duplicates()
    return joined
