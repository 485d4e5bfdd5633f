"""The objective of a model with a readout: value and detection of genes, from two places.

From the cell's vector all genes of the undamaged cell are predicted, and from the representations
of hidden genes those genes: the probability that a gene is expressed (cross-entropy), and the value
of those that are (squared error).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sclong_core.errors import ConfigError
from sclong_core.model import ScLong
from sclong_core.nn.readout import GenePrediction
from sclong_core.pretraining.corruption import CorruptionConfig, Damaged, damage


@dataclass(frozen=True)
class ObjectiveConfig:
    """What a model with a readout is trained to do; see the documentation page "Pretraining"."""

    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    """How the cells are damaged."""
    cell: float = 1.0
    """Weight of what is predicted from the cell's vector."""
    gene: float = 0.5
    """Weight of what is predicted from the representations of hidden genes."""
    value: float = 1.0
    """Weight of squared errors of values beside the cross-entropy of detection."""
    detection: float = 1.0
    """Weight of that cross-entropy."""
    genes: int = 2_048
    """Genes, other ones for each batch, that are predicted from the cell's vector beside the
    variable ones."""

    def __post_init__(self) -> None:
        """Refuse weights and numbers that are none."""
        for name in ("cell", "gene", "value", "detection"):
            if getattr(self, name) < 0:
                raise ConfigError(f"objective.{name} must not be negative")
        if self.genes < 0:
            raise ConfigError(f"objective.genes must not be negative, not {self.genes}")


class Terms(NamedTuple):
    """Losses of a batch, each a mean."""

    cell_value: Tensor
    cell_detection: Tensor
    gene_value: Tensor
    gene_detection: Tensor


class Predicted(NamedTuple):
    """What a model says of damaged cells."""

    of_cell: GenePrediction
    """From the cell's vector: ``(cells, genes asked for)``."""
    of_genes: GenePrediction
    """From the representations of hidden genes: ``(cells, hidden)``."""


def predict(model: ScLong, cells: Damaged, genes: Tensor, *, one_by_one: bool = True) -> Predicted:
    """Predict genes of damaged cells.

    Args:
        model: with a readout.
        cells: as it sees them.
        genes: ``(genes,)`` positions to be predicted from the cell's vector.
        one_by_one: predict the hidden genes from their representations, too; else from the cell.
    """
    readout = model.require_readout()
    embedding = model.gene_embedding()
    context = None
    asked = cells.hidden if one_by_one else cells.hidden[:, :0]
    if one_by_one or readout.config.queries:
        found = model.read_context(cells.expression, cells.shown, asked, gene_embedding=embedding)
        context = found.context
    vector, _ = readout(cells.expression, cells.shown, context)
    of_cell = readout.predict(vector, embedding[genes], genes)
    if not one_by_one:
        hidden = readout.predict_each(vector, embedding, cells.hidden)
        return Predicted(of_cell, hidden)
    bias = readout.gene_bias[:, cells.hidden]
    with torch.autocast(model.device.type, enabled=False):
        value = model.decoder(found.asked).squeeze(-1) + bias[0]
        detection = model.detection(found.asked).squeeze(-1) + bias[1]
    return Predicted(of_cell, GenePrediction(value, detection))


def objective_terms(
    model: ScLong,
    expression: Tensor,
    measured: Tensor,
    config: ObjectiveConfig,
    generator: torch.Generator,
) -> Terms:
    """The losses of a batch of undamaged cells ``(cells, genes)``."""
    variable = model.require_readout().variable
    cells = damage(expression, measured, variable, config.corruption, generator)
    genes = _targets(model, config.genes, generator)
    predicted = predict(model, cells, genes, one_by_one=config.gene > 0)
    cell = _terms(predicted.of_cell, expression[:, genes], measured[:, genes])
    if not config.gene:
        zero = cell[0].new_zeros(())
        return Terms(*cell, zero, zero)
    gene = _terms(
        predicted.of_genes, expression.gather(1, cells.hidden), measured.gather(1, cells.hidden)
    )
    return Terms(*cell, *gene)


def _targets(model: ScLong, others: int, generator: torch.Generator) -> Tensor:
    """The variable genes, and as many of the others as are asked for, other ones each time."""
    variable = model.require_readout().variable
    order = torch.rand(model.config.genes, generator=generator, device=variable.device)
    order[variable] = -1
    others = min(others, model.config.genes - len(variable))
    return torch.cat([variable, torch.topk(order, others).indices])


def total(terms: Terms, config: ObjectiveConfig) -> Tensor:
    """The weighted sum."""
    of_cell = config.value * terms.cell_value + config.detection * terms.cell_detection
    of_genes = config.value * terms.gene_value + config.detection * terms.gene_detection
    return config.cell * of_cell + config.gene * of_genes


def _terms(found: GenePrediction, target: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    expressed = (target > 0) & counted
    error = (found.value - target).masked_fill(~expressed, 0).square().sum()
    wrong = functional.binary_cross_entropy_with_logits(
        found.detection, expressed.to(found.detection.dtype), reduction="none"
    )
    entropy = wrong.masked_fill(~counted, 0).sum() / counted.sum().clamp(min=1)
    return error / expressed.sum().clamp(min=1), entropy
