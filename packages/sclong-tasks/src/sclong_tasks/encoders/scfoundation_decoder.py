"""scFoundation's decoder: linear attention by positive random features that the checkpoint holds.

The original subtracts the largest key feature of the whole batch, so that cells of a batch depend
on each other; here it is that of the cell, which is what a batch of one gives.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALL = 1e-4


class FastAttention(nn.Module):
    """Holds random features ``(features, width of a head)``."""

    projection_matrix: Tensor

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.register_buffer("projection_matrix", torch.zeros(features, width))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, shared: bool) -> Tensor:
        """Attention ``(cells, heads, genes, width)``; ``shared``: one stabiliser for all cells."""
        query = self._features(q, dims=(-1,))
        key = self._features(k, dims=(0, 1, 2, 3) if shared else (1, 2, 3))
        whole = key.transpose(-1, -2) @ v
        scale = query @ key.sum(-2).unsqueeze(-1)
        return query @ whole / scale

    def _features(self, x: Tensor, dims: tuple[int, ...]) -> Tensor:
        features, width = self.projection_matrix.shape
        x = x * width**-0.25
        projected = x @ self.projection_matrix.T
        length = x.square().sum(-1, keepdim=True) / 2
        largest = projected.amax(dims, keepdim=True)
        found: Tensor = (projected - length - largest).exp() + _SMALL
        factor: float = features**-0.5
        return found * factor


class SelfAttention(nn.Module):
    """Projections around the attention."""

    def __init__(self, width: int, heads: int, head_width: int, features: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.to_q, self.to_k = nn.Linear(width, inner), nn.Linear(width, inner)
        self.to_v, self.to_out = nn.Linear(width, inner), nn.Linear(inner, width)
        self.fast_attention = FastAttention(features, head_width)

    def forward(self, x: Tensor, *, shared: bool) -> Tensor:
        """Attend to all genes."""
        b, n, _ = x.shape
        q, k, v = (
            project(x).view(b, n, self.heads, -1).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        found = self.fast_attention(q, k, v, shared=shared)
        return self.to_out(found.transpose(1, 2).reshape(b, n, -1))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers, named as in the file."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fn = nn.Module()
        self.fn.w1, self.fn.w2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Widen and narrow."""
        return self.fn.w2(functional.gelu(self.fn.w1(x)))  # type: ignore[no-any-return, operator]


class Normed(nn.Module):
    """A norm before what follows."""

    def __init__(self, width: int, follows: nn.Module) -> None:
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width), follows


class DecoderLayer(nn.ModuleList):
    """Attention and a feed-forward part, each with a norm before it."""

    def forward(self, x: Tensor, *, shared: bool) -> Tensor:
        """One layer."""
        attention, feed_forward = self
        x = x + attention.fn(attention.norm(x), shared=shared)  # type: ignore[operator]
        return x + feed_forward.fn(feed_forward.norm(x))  # type: ignore[no-any-return, operator]


class Performer(nn.Module):
    """Layers of linear attention, and a norm after them.

    Args:
        width: of a gene.
        heads: of attention.
        head_width: of each.
        depth: number of layers.
        features: random ones of attention.
    """

    def __init__(self, width: int, heads: int, head_width: int, depth: int, features: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(
                [
                    Normed(width, SelfAttention(width, heads, head_width, features)),
                    Normed(width, FeedForward(width)),
                ]
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, *, shared: bool = False) -> Tensor:
        """``(cells, genes, width)``; ``shared``: cells of a batch share one stabiliser."""
        for layer in self.layers:
            x = layer(x, shared=shared)
        return self.norm(x)  # type: ignore[no-any-return]
