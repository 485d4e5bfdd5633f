"""Mean squared error over the scored values of all ranks together.

Ranks score different numbers of values, so the mean of their means is not the mean. Each rank
divides its own sum by the number over all ranks instead; the average of gradients that DDP takes is
then the gradient of one process with the whole batch.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist


class ScoredError(NamedTuple):
    """Squared error over the scored values of a batch."""

    for_backward: Tensor
    """This rank's share, times the number of ranks: their average is the loss."""
    loss: Tensor
    """Mean squared error over all ranks, the same number on each, without a gradient."""


def scored_error(reconstruction: Tensor, expression: Tensor, scored: Tensor) -> ScoredError:
    """Mean squared error over the scored values of the global batch.

    Args:
        reconstruction: ``(cells, genes)`` from the model.
        expression: ``(cells, genes)`` true values.
        scored: boolean ``(cells, genes)``; every other position is left out.
    """
    difference = (reconstruction.float() - expression.float()).masked_fill(~scored, 0)
    total = difference.square().sum()
    sums = torch.stack([total.detach(), scored.sum().to(total.dtype)])
    ranks = 1
    if dist.is_available() and dist.is_initialized():
        ranks = dist.get_world_size()
        dist.all_reduce(sums)
    count = sums[1].clamp(min=1)
    return ScoredError(total * (ranks / count), sums[0] / count)
