"""What the benchmarks feed to the models: made up, seeded, and as large as the real thing."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclong_core.graph import GeneGraph
from sclong_core.vocabulary import GeneVocabulary

EDGES_A_GENE = 21
"""With the edge of a gene to itself; about as many as the release's graph has."""
NONZERO_GENES = 2_000
"""Expressed genes of a cell, as in common droplet data."""
MASKED_SHARE = 0.15


def random_graph(genes: int, *, seed: int = 0) -> GeneGraph:
    """A gene graph with about ``EDGES_A_GENE`` edges a gene, one of them to the gene itself."""
    generator = np.random.default_rng(seed)
    sources = np.repeat(np.arange(genes), EDGES_A_GENE - 1)
    targets = generator.integers(0, genes, sources.size)
    own = np.arange(genes) * genes + np.arange(genes)
    keys = np.union1d(own, sources * genes + targets)
    edges = np.stack([keys // genes, keys % genes])
    weights = generator.uniform(0.1, 1.0, keys.size).astype(np.float32)
    weights[edges[0] == edges[1]] = 1.0
    return GeneGraph(genes, edges, weights)


def numbered_vocabulary(genes: int) -> GeneVocabulary:
    """Made-up genes, so that a checkpoint can be written."""
    return GeneVocabulary.from_ids(f"ENSG{number:011d}" for number in range(genes))


def random_expression(cells: int, genes: int, *, seed: int = 0) -> Tensor:
    """``(cells, genes)`` float32, log1p of counts per 10,000; few genes of a cell are expressed."""
    generator = np.random.default_rng(seed)
    counts: npt.NDArray[np.float64] = np.zeros((cells, genes))
    for row in counts:
        expressed = generator.choice(genes, min(NONZERO_GENES, genes // 2), replace=False)
        row[expressed] = 1 + generator.poisson(generator.gamma(0.3, 5.0, expressed.size))
    counts *= 10_000 / counts.sum(axis=1, keepdims=True)
    return torch.from_numpy(np.log1p(counts).astype(np.float32))


def random_mask(expression: Tensor, *, seed: int = 0) -> Tensor:
    """Masks ``MASKED_SHARE`` of the expressed genes: boolean, as large as ``expression``."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return (torch.rand(expression.shape, generator=generator) < MASKED_SHARE) & (expression > 0)
