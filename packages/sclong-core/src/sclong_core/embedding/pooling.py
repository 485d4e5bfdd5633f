"""From the gene representations of a cell to one vector."""

from collections.abc import Callable
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from sclong_core.config import ScLongConfig
from sclong_core.errors import ConfigError
from sclong_core.nn.network import Network, ScLongOutput

Pool = Literal["mean", "mean_expressed", "expression_weighted", "gene_sums", "cell", "components"]
OF_READOUT: tuple[Pool, ...] = ("cell", "components")
"""Rules that are the model's own: it needs a readout."""


def check_pool(pool: str | None) -> None:
    """Raise ConfigError unless ``pool`` is one of the pooling rules, or None."""
    if pool is not None and pool not in get_args(Pool):
        raise ConfigError(f"pool must be one of {', '.join(get_args(Pool))}, not {pool!r}")


def chosen_pool(model: Network, pool: Pool | None) -> Pool:
    """The rule that is asked for; None is the model's own where it has one, else "mean".

    Raises:
        ConfigError: the model does not have what the rule needs.
    """
    check_pool(pool)
    if model.config.student is not None:
        if pool not in (None, "cell"):
            raise ConfigError(
                f"this model is a student, which has no pool {pool!r}: leave it out, or use its "
                "teacher"
            )
        return "cell"
    if pool is None:
        return "mean" if model.config.readout is None else "cell"
    if pool in OF_READOUT:
        readout = model.require_readout()
        if pool == "components" and not readout.config.components:
            raise ConfigError('this model has no reference components: choose the pool "cell"')
    return pool


class Configured(Protocol):
    """A model, or what describes one."""

    @property
    def config(self) -> ScLongConfig:
        """Of the model."""
        ...


def pool_width(model: Configured, pool: Pool) -> int:
    """Columns that a rule gives."""
    if pool == "gene_sums":
        return model.config.genes
    if model.config.student is not None:
        return model.config.student.width
    readout = model.config.readout
    if pool in OF_READOUT and readout is not None:
        return readout.embedding_width if pool == "cell" else readout.components
    return model.config.dim


def pool_cells(output: ScLongOutput, expression: Tensor, pool: Pool) -> Tensor:
    """One vector a cell.

    - ``mean``: mean of the representations of all genes, ``(cells, dim)``.
    - ``mean_expressed``: mean over the genes whose expression is above zero.
    - ``expression_weighted``: mean weighted by the normalised expression.
    - ``gene_sums``: for each gene the sum of its representation and its reconstruction,
      ``(cells, genes)`` (paper, "Zero-shot batch integration").

    "cell" and "components" are not made of these, see
    :meth:`~sclong_core.model.ScLong.cell_vectors`.

    A cell none of whose genes is expressed gets the mean over all genes from the two middle rules.

    Args:
        output: of the model.
        expression: ``(cells, genes)`` that it was given.
        pool: the rule.
    """
    pooled: Tensor = _RULES[pool](output, expression)
    return pooled


def _mean(output: ScLongOutput, _expression: Tensor) -> Tensor:
    return output.gene_representations.mean(1)


def _mean_expressed(output: ScLongOutput, expression: Tensor) -> Tensor:
    return _weighted(output, (expression > 0).to(output.gene_representations.dtype))


def _weighted(output: ScLongOutput, weights: Tensor) -> Tensor:
    total = weights.sum(1, keepdim=True)
    weights = torch.where(total > 0, weights, torch.ones_like(weights))
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("bg,bgc->bc", weights, output.gene_representations)


def _gene_sums(output: ScLongOutput, _expression: Tensor) -> Tensor:
    return output.gene_representations.sum(-1) + output.reconstruction


_RULES: dict[str, Callable[[ScLongOutput, Tensor], Tensor]] = {
    "mean": _mean,
    "mean_expressed": _mean_expressed,
    "expression_weighted": _weighted,
    "gene_sums": _gene_sums,
}
