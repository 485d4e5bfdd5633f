"""Made-up cells and a tiny model: to try a command, or to test code of one's own.

They are installed: a cluster without a checkout can be tried with them.
"""

from collections.abc import Sequence

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse

from sclong_core.config import PerformerConfig, ScLongConfig
from sclong_core.model import ScLong
from sclong_core.vocabulary import GeneVocabulary

SYNTHETIC_GENES = 24
"""Genes of :func:`make_tiny_model`, by default."""


def make_counts_anndata(
    cells: int, genes: int, *, seed: int = 0, names: Sequence[str] | None = None
) -> AnnData:
    """Made-up raw counts: ``X`` is CSR float32, no cell is empty, and cells differ in depth.

    Args:
        cells: number of cells, named ``cell0`` and so on.
        genes: number of genes.
        seed: of the counts.
        names: of the genes; by default those of :func:`synthetic_gene_ids`.
    """
    generator = np.random.default_rng(seed)
    abundance = generator.gamma(0.6, size=genes) + 0.02
    depth = generator.uniform(0.5, 4.0, size=(cells, 1))
    counts = generator.poisson(abundance * depth)
    counts[counts.sum(axis=1) == 0, 0] = 1
    adata = AnnData(sparse.csr_matrix(counts.astype(np.float32)))
    adata.obs_names = [f"cell{number}" for number in range(cells)]
    adata.var_names = list(names) if names is not None else synthetic_gene_ids(genes)
    return adata


def synthetic_gene_ids(genes: int) -> list[str]:
    """Ensembl ids of made-up genes."""
    return [f"ENSG{number:011d}" for number in range(1, genes + 1)]


def make_tiny_model(*, genes: int = SYNTHETIC_GENES, seed: int = 0) -> ScLong:
    """A model of a few thousand random weights over made-up genes, without a gene graph.

    Args:
        genes: size of its vocabulary, named as :func:`make_counts_anndata` names them.
        seed: of the weights; the same seed gives the same ones.
    """
    side = PerformerConfig(dim=8, depth=1, heads=2, dim_head=4)
    config = ScLongConfig(
        genes=genes,
        dim=8,
        expression_hidden=6,
        high_genes=genes // 4,
        large=PerformerConfig(dim=16, depth=2, heads=2, dim_head=8),
        mini=side,
        full=side,
        graph="none",
    )
    model = ScLong(config, GeneVocabulary.from_ids(synthetic_gene_ids(genes)))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()
