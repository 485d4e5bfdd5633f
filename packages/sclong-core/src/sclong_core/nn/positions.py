"""Which positions of a cell go to which encoder, and back.

Shapes: b cells, n positions, h chosen ones, c width.
"""

import torch
from torch import Tensor


def highest(x_bn: Tensor, count: int) -> Tensor:
    """Positions of the ``count`` highest float32 values, in order; ties by lowest position.

    What a stable sort gives, from a partial one: a value's bits, put above its position from the
    end, make an integer that is no other's and orders as the two do.
    """
    bits_bn = (x_bn + 0.0).view(torch.int32).long()  # -0 becomes 0
    bits_bn = torch.where(bits_bn < 0, -(bits_bn & 0x7FFFFFFF), bits_bn)
    last = x_bn.shape[1] - 1
    from_end_n = torch.arange(last, -1, -1, device=x_bn.device)
    highest_bh: Tensor = ((bits_bn << 32) + from_end_n).topk(count, dim=-1).values
    return last - (highest_bh & 0xFFFFFFFF)


def complement(indices_bh: Tensor, positions: int) -> Tensor:
    """The positions not in ``indices_bh``, ascending."""
    taken_bn = torch.zeros(
        indices_bh.shape[0], positions, dtype=torch.bool, device=indices_bh.device
    )
    taken_bn.scatter_(1, indices_bh, True)
    left = positions - indices_bh.shape[1]
    # Each position's place among those that are left; what is taken goes behind the last of them.
    place_bn = torch.where(taken_bn, left, (~taken_bn).cumsum(1) - 1)
    every_bn = torch.arange(positions, device=indices_bh.device).expand_as(place_bn)
    return every_bn.new_empty(len(place_bn), left + 1).scatter(1, place_bn, every_bn)[:, :left]


def gather(x_bnc: Tensor, indices_bh: Tensor) -> Tensor:
    """The vectors at ``indices_bh``, ``(cells, h, width)``."""
    rows: Tensor = x_bnc.flatten(0, 1).index_select(0, _rows(x_bnc, indices_bh))
    return rows.view(*indices_bh.shape, -1)


def scatter(x_bnc: Tensor, indices_bh: Tensor, values_bhc: Tensor) -> Tensor:
    """``x_bnc`` with other vectors at ``indices_bh``."""
    values = values_bhc.to(x_bnc.dtype).flatten(0, 1)
    rows: Tensor = x_bnc.flatten(0, 1).index_copy(0, _rows(x_bnc, indices_bh), values)
    return rows.view(x_bnc.shape)


def _rows(x_bnc: Tensor, indices_bh: Tensor) -> Tensor:
    """Positions of cells as rows of all cells: a row is copied as a whole."""
    b, n, _ = x_bnc.shape
    return (indices_bh + n * torch.arange(b, device=x_bnc.device).unsqueeze(1)).flatten()
