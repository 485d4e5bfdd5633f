"""GEARS's loss: large errors weigh more (autofocus), and a change in the wrong direction counts.

Source: GEARS (Roohani et al. 2023), Methods; the scLong paper uses the same. The sign has no
gradient, so that the part about direction changes what is logged and nothing that is learnt.

Shapes: b cells, g genes.
"""

import torch
from torch import Tensor

EXPONENT = 4.0
"""2 + gamma with gamma = 2."""
DIRECTION = 0.1
"""Weight of the part about direction."""


def autofocus(
    predicted_bg: Tensor, true_bg: Tensor, kept_bg: Tensor, exponent: float = EXPONENT
) -> Tensor:
    """``(b,)`` mean over kept genes of the error to a power."""
    return _mean_over_genes((predicted_bg - true_bg).abs() ** exponent, kept_bg)


def direction(predicted_bg: Tensor, true_bg: Tensor, control_g: Tensor, kept_bg: Tensor) -> Tensor:
    """``(b,)`` mean over kept genes of the squared difference of signs of change: 0, 1 or 4.

    Args:
        predicted_bg: expression.
        true_bg: the same.
        control_g: mean of all control cells, which both are compared to. The paper prints the cell
            that a prediction starts from instead.
        kept_bg: genes that count in each cell.
    """
    signs = torch.sign(true_bg - control_g) - torch.sign(predicted_bg - control_g)
    return _mean_over_genes(signs**2, kept_bg)


def mean_over_conditions(values_b: Tensor, condition_b: Tensor) -> Tensor:
    """The mean over conditions of their means over cells: a condition counts once."""
    _, place_b, cells = torch.unique(condition_b, return_inverse=True, return_counts=True)
    mean: Tensor = (values_b / cells[place_b]).sum() / len(cells)
    return mean


def gears_loss(
    predicted_bg: Tensor,
    true_bg: Tensor,
    condition_b: Tensor,
    kept_bg: Tensor,
    control_g: Tensor,
    *,
    exponent: float = EXPONENT,
    weight: float = DIRECTION,
) -> Tensor:
    """Autofocus and direction, the mean over the conditions of a batch.

    Args:
        predicted_bg: expression.
        true_bg: the same.
        condition_b: number of each cell's condition.
        kept_bg: genes that count: those that are not zero in all cells of the condition.
        control_g: mean of all control cells.
        exponent: of errors.
        weight: of the part about direction.
    """
    values_b = autofocus(predicted_bg, true_bg, kept_bg, exponent)
    if weight:
        values_b = values_b + weight * direction(predicted_bg, true_bg, control_g, kept_bg)
    return mean_over_conditions(values_b, condition_b)


def _mean_over_genes(values_bg: Tensor, kept_bg: Tensor) -> Tensor:
    weights_bg = kept_bg.to(values_bg.dtype)
    return (values_bg * weights_bg).sum(1) / weights_bg.sum(1).clamp(min=1)
