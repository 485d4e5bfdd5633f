"""How a cell is damaged before a model with a readout sees it: fewer counts, fewer genes."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sclong_core.errors import ConfigError


@dataclass(frozen=True)
class CorruptionConfig:
    """Damage of a training cell. The model has to predict the undamaged one."""

    thinning: float = 0.1
    """Counts of a cell are thinned to a share that is drawn from this to 1; 1 leaves them."""
    unmeasured: float = 0.7
    """A share of the genes, drawn from 0 to this, is not shown, as if it were not measured."""
    panels: float = 0.25
    """Share of the cells of which only a random panel of genes is shown, in place of the above."""
    panel_genes: int = 1_024
    """Largest panel. The smallest is a quarter of it."""
    hidden: int = 32
    """Genes of a cell whose value and detection are predicted from their own representation: half
    of them expressed, as far as there are so many."""

    def __post_init__(self) -> None:
        """Refuse shares and numbers that are none."""
        if not 0 < self.thinning <= 1:
            raise ConfigError(f"thinning must be above 0 and at most 1, not {self.thinning!r}")
        for name in ("unmeasured", "panels"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be from 0 to 1, not {getattr(self, name)!r}")
        for name in ("panel_genes", "hidden"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2, not {getattr(self, name)!r}")


class Damaged(NamedTuple):
    """Cells as the model sees them."""

    expression: Tensor
    """``(cells, genes)``: 0 where nothing is shown."""
    shown: Tensor
    """Boolean, of the same shape: genes that count as measured."""
    hidden: Tensor
    """``(cells, hidden)`` int64: measured genes that are not shown, to be predicted one by one."""


def damage(
    expression: Tensor,
    measured: Tensor,
    variable: Tensor,
    config: CorruptionConfig,
    generator: torch.Generator,
) -> Damaged:
    """Damage cells. Only variable genes are shown: a model with a readout reads no others.

    Args:
        expression: ``(cells, genes)`` log1p values.
        measured: boolean, of the same shape.
        variable: ``(variable genes,)`` positions.
        config: how much.
        generator: of the draws, on the device of the cells.
    """
    cells = len(expression)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=expression.device)

    values, known = expression[:, variable], measured[:, variable]
    share = draw(cells, 1) * config.unmeasured
    panel = (0.25 + 0.75 * draw(cells, 1)) * config.panel_genes
    of_panel = panel / known.sum(1, keepdim=True).clamp(min=1)
    share = torch.where(draw(cells, 1) < config.panels, (1 - of_panel).clamp(min=0), share)
    score = draw(*values.shape)
    hidden = choose_hidden(values > 0, known, config.hidden, score)
    shown = (known & (score >= share)).scatter(1, hidden, False)
    if config.thinning < 1:
        kept = config.thinning + (1 - config.thinning) * draw(cells)
        values = thin(values, kept, generator)
    everything = torch.zeros_like(expression)
    everything[:, variable] = values.masked_fill(~shown, 0)
    shown_of_all = torch.zeros_like(measured)
    shown_of_all[:, variable] = shown
    return Damaged(everything, shown_of_all, variable[hidden])


def choose_hidden(expressed: Tensor, measured: Tensor, count: int, score: Tensor) -> Tensor:
    """``(cells, count)`` places of lowest score: half expressed, half measured and silent."""
    half = count // 2
    first = torch.topk(score.masked_fill(~expressed, 2), half, dim=1, largest=False).indices
    score = score.masked_fill(~measured | expressed, 2).scatter(1, first, 3)
    second = torch.topk(score, count - half, dim=1, largest=False).indices
    return torch.cat([first, second], dim=1)


def thin(expression: Tensor, kept: Tensor, generator: torch.Generator) -> Tensor:
    """Cells as they would be had only a share of their counts been seen.

    The smallest value of a cell stands for one count, which gives its counts back where the values
    are log1p of scaled counts. What is left is scaled by the same share, whatever the draws.

    Args:
        expression: ``(cells, genes)`` log1p values.
        kept: ``(cells,)`` share of the counts of each, above 0.
        generator: of the draws.
    """
    row, gene = expression.nonzero(as_tuple=True)
    linear = torch.expm1(expression[row, gene])
    unit = linear.new_full((len(expression),), torch.inf).scatter_reduce_(0, row, linear, "amin")
    unit_of_value, share = unit[row], kept[row]
    counts = (linear / unit_of_value).round_()
    left = torch.binomial(counts, share, generator=generator)
    thinned = torch.zeros_like(expression)
    thinned[row, gene] = torch.log1p(left / share * unit_of_value)
    return thinned
