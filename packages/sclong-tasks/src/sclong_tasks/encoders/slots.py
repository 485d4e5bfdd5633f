"""The encoder's place in a task's network: a module from numbers of cells to their features.

A frozen encoder's slot looks up a table. The slot of a trained model runs it on the cells of the
batch, each distinct one once, with gradients into all of it or into low-rank adapters (LoRA).
"""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sclong_core.errors import ConfigError
from sclong_core.expression import prepare_cells
from sclong_core.model import ScLong
from sclong_data.genes.table import GeneTable
from sclong_tasks.encoders.genes import find_genes
from sclong_tasks.encoders.protocol import Coverage, ExpressionTable
from sclong_tasks.encoders.published import PublishedEncoder
from sclong_tasks.encoders.published_model import PublishedModel, collate
from sclong_tasks.encoders.sclong import Pool, pool_genes, vocabulary_names

Tuning = Literal["frozen", "full", "lora"]
LORA_TARGETS = ("attention.query", "attention.key_value", "attention.output")
"""Projections that adapters are added to; those inside feed-forward layers are left alone."""


class CellSlot(Protocol):
    """A module with the width of what it gives."""

    dim: int

    def __call__(self, cells: Tensor) -> Tensor:
        """``(c,)`` numbers of cells to ``(c, dim)``."""
        ...


class TableSlot(nn.Module):
    """Features that do not change.

    Args:
        values: ``(cells, dim)``, or ``(cells, genes, dim)``, which is kept as it is.
    """

    values: Tensor

    def __init__(self, values: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.dim = int(np.prod(values.shape[1:]))
        self.register_buffer("values", torch.from_numpy(np.array(values)), persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        """Look the cells up."""
        return self.values[cells]


class ScLongSlot(nn.Module):
    """An scLong that is trained with the task.

    Args:
        model: whose weights are trained in place.
        expression: of all cells of the task.
        pool: to one vector a cell.
        table: of other names of genes.

    Raises:
        ConfigError: the rule gives more than one vector a cell, or the model has no vocabulary.
    """

    expression: Tensor
    expressed: Tensor

    def __init__(  # settings of a user, each by its name
        self,
        model: ScLong,
        expression: ExpressionTable,
        *,
        pool: Pool = "channel_mean",
        table: GeneTable | None = None,
    ) -> None:
        super().__init__()
        if pool in ("none", "cell") or model.vocabulary is None:
            raise ConfigError(
                "a scLong that is trained needs a vocabulary, and a rule from gene representations "
                "to a cell: channel_mean, gene_mean or expressed_mean"
            )
        self.model = model
        self.pool: Pool = pool
        self.positions, self.coverage = find_genes(expression.genes, model.vocabulary, table)
        self.dim = len(expression.genes) if pool == "channel_mean" else model.config.dim
        names = vocabulary_names(expression.genes, self.positions, model.vocabulary)
        with prepare_cells(
            expression.anndata(names),
            model.vocabulary,
            model.config.input,
            normalisation="log1p",
            allow_poor_match=True,  # the report says how much is known
        ) as cells:
            block = torch.from_numpy(cells.block(0, len(cells)))
        self.register_buffer("expression", block, persistent=False)
        expressed = torch.from_numpy(expression.log1p > 0)
        self.register_buffer("expressed", expressed, persistent=False)

    coverage: Coverage

    def forward(self, cells: Tensor) -> Tensor:
        """Run the model on each distinct cell once."""
        unique, inverse = torch.unique(cells, return_inverse=True)
        found = self.model(self.expression[unique]).gene_representations
        extended = torch.cat([found, found.mean(1, keepdim=True)], dim=1)
        chosen = extended[:, torch.from_numpy(self.positions).to(found.device)]
        return pool_genes(chosen, self.expressed[unique], self.pool)[inverse]


class PublishedSlot(nn.Module):
    """A published model that is trained with the task.

    Args:
        encoder: whose model is trained in place.
        expression: of all cells of the task; their tokens are made once.
    """

    def __init__(self, encoder: PublishedEncoder, expression: ExpressionTable) -> None:
        super().__init__()
        self.model: PublishedModel = encoder.model.train()
        self.dim = encoder.width
        self.tokens, self.facts = encoder.tokens_of_table(expression)

    def forward(self, cells: Tensor) -> Tensor:
        """Run the model on each distinct cell once."""
        unique, inverse = torch.unique(cells, return_inverse=True)
        chosen = [self.tokens[cell] for cell in unique.tolist()]
        return self.model(collate(chosen, self.model, cells.device))[inverse]  # type: ignore[no-any-return]


ModelT = TypeVar("ModelT", bound=nn.Module)


def add_lora(
    model: ModelT, *, rank: int = 8, alpha: int = 16, targets: Sequence[str] = LORA_TARGETS
) -> ModelT:
    """Freeze a model and add trainable low-rank adapters to its attention, in place.

    Args:
        model: to adapt.
        rank: of the adapters.
        alpha: their scale, divided by the rank.
        targets: endings of the names of the projections.

    Raises:
        ConfigError: peft is not installed, or the rank is not positive.
    """
    if rank < 1:
        raise ConfigError(f"LoRA needs a rank of at least 1, not {rank}")
    try:
        from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigError(
            "LoRA needs the package peft: pip install 'sclong-tasks[lora]'"
        ) from error
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(targets))
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return model
