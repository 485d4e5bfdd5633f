"""The two ends of training a readout: statistics of the cells before, of their vectors after."""

import logging

import torch

from sclong_core.model import ScLong
from sclong_core.pretraining.datamodule import PretrainingData
from sclong_core.pretraining.reference import (
    cell_weights,
    gene_loadings,
    reference_statistics,
)

_LOG = logging.getLogger("sclong")
_CELLS = 20_000
"""Training cells that statistics are taken of, at most."""
_BATCH = 64


@torch.no_grad()
def start_readout(model: ScLong, data: PretrainingData, *, gene_vectors: bool) -> None:
    """Give a readout the means, rates and components of the training cells.

    Args:
        model: that is to be trained.
        data: its training cells.
        gene_vectors: let the vectors of genes start at their correlations with the components.

    Raises:
        ConfigError: the cells do not suffice.
    """
    readout = model.require_readout()
    cells = data.reference_cells(_CELLS)
    found = reference_statistics(cells, readout.config)
    readout.set_statistics(found)
    if gene_vectors and readout.config.components:
        table = model.genes.vectors
        loadings = torch.from_numpy(gene_loadings(cells, found, model.config.dim))
        # What is random keeps genes apart that the components do not tell apart.
        table[:-1] = loadings.to(table) + 0.1 * table[:-1]
    _LOG.info(
        "the readout knows %s variable genes and %s components of %s training cells of %s sources",
        f"{readout.config.variable_genes:,}",
        readout.config.components,
        f"{cells.expression.shape[0]:,}",
        len(cells.measured),
    )


@torch.no_grad()
def finish_readout(model: ScLong, data: PretrainingData) -> None:
    """Centre and scale a readout by its vectors of undamaged training cells."""
    readout = model.require_readout()
    cells = data.reference_cells(_CELLS)
    device, training = model.device, model.training
    model.eval()
    embedding = model.gene_embedding()
    vectors, components = [], []
    for start in range(0, cells.expression.shape[0], _BATCH):
        rows = slice(start, start + _BATCH)
        expression = torch.from_numpy(cells.expression[rows].toarray()).to(device)
        measured = torch.from_numpy(cells.measured[cells.source[rows]]).to(device)
        found = model.cell_vectors(expression, measured, gene_embedding=embedding)
        vectors.append(found.vector.cpu())
        components.append(found.components.cpu())
    model.train(training)
    weights = torch.from_numpy(cell_weights(cells.source))
    readout.set_output(torch.cat(vectors), torch.cat(components), weights)
