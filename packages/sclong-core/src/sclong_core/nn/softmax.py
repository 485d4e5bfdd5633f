"""Exact softmax attention, for encoders that read some hundred positions."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sclong_core.config import PerformerConfig
from sclong_core.nn.products import Product


class Keys(NamedTuple):
    """Keys and values of all positions that are read."""

    keys_bhnd: Tensor
    values_bhnd: Tensor


class SoftmaxAttention(nn.Module):
    """Multi-head self-attention with the weights of :class:`.attention.FavorAttention`.

    It is used in the same two steps; there are no random features.
    """

    def __init__(self, config: PerformerConfig) -> None:
        """Make the projections."""
        super().__init__()
        self.heads = config.heads
        self.query = Product(config.dim, config.inner, bias=False)
        self.key_value = Product(config.dim, 2 * config.inner, bias=False)
        self.output = Product(config.inner, config.dim)

    def summarise(self, blocks_bnc: Iterable[Tensor]) -> Keys:
        """Keys and values of positions that come in blocks ``(cells, n, dim)``."""
        x_bnc = torch.cat(list(blocks_bnc), dim=1)
        return Keys(*self._split_heads(self.key_value(x_bnc), 2))

    def forward(self, x_bnc: Tensor, keys: Keys) -> Tensor:
        """Let positions ``(cells, n, dim)`` attend to those of the keys; same shape."""
        (q_bhnd,) = self._split_heads(self.query(x_bnc), 1)
        attended_bhnd = functional.scaled_dot_product_attention(q_bhnd, *keys)
        output: Tensor = self.output(attended_bhnd.transpose(1, 2).flatten(-2))
        return output

    def _split_heads(self, projected_bnc: Tensor, parts: int) -> tuple[Tensor, ...]:
        split_bnphd = projected_bnc.unflatten(-1, (parts, self.heads, -1))
        return tuple(split_bnphd.permute(2, 0, 3, 1, 4))
