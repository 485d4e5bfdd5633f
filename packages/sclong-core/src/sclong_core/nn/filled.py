"""Tensors with values to start from."""

from collections.abc import Callable

import torch
from torch import Tensor


def filled(
    shape: tuple[int, ...], fill: Callable[[Tensor], object], dtype: torch.dtype | None = None
) -> Tensor:
    """A tensor whose values ``fill`` writes in place; on the meta device it has none.

    There PyTorch would load its compiler, more than a second of imports, to compute values that
    nobody reads: a model on the meta device is about to be loaded from a file.
    """
    tensor = torch.empty(shape, dtype=dtype)
    if not tensor.is_meta:
        fill(tensor)
    return tensor
