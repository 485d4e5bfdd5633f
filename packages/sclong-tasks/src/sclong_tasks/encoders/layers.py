"""The transformer layer that all five models share: attention, then two linear layers, norms after.

Attention is PyTorch's own ``scaled_dot_product_attention``; a batch of cells of one length needs no
mask, and gets none.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]
LORA_TARGETS = ("attention.qkv", "attention.output")
"""Projections of a layer that low-rank adapters are added to."""


class Attention(nn.Module):
    """Softmax attention of all tokens to all.

    Args:
        width: of a token.
        heads: contiguous blocks of the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x_bnd: Tensor, mask: Tensor | None) -> Tensor:
        """Attend; ``mask`` is broadcast to ``(b, heads, n, n)``: what may be seen, or a bias."""
        b, n, d = x_bnd.shape
        q, k, v = self.qkv(x_bnd).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.to(q.dtype)
        found = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.output(found.transpose(1, 2).reshape(b, n, d))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """Attention and a feed-forward part, each added to its input and normalised.

    Args:
        width: of a token.
        heads: of attention.
        hidden: width inside the feed-forward part.
        activation: inside it.
        eps: of both norms.
    """

    def __init__(  # settings of a user, each by its name
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        activation: Activation = functional.relu,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.wide = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.activation = activation

    def forward(self, x_bnd: Tensor, mask: Tensor | None) -> Tensor:
        """One layer."""
        x_bnd = self.norm1(x_bnd + self.attention(x_bnd, mask))
        changed = self.narrow(self.activation(self.wide(x_bnd)))
        return self.norm2(x_bnd + changed)  # type: ignore[no-any-return]


def torch_names(own: str) -> tuple[str, ...]:
    """Names of a layer's tensor in files of ``torch.nn.TransformerEncoderLayer``."""
    for ours, theirs in (
        ("attention.qkv.", "self_attn.in_proj_"),
        ("attention.output.", "self_attn.out_proj."),
        ("wide.", "linear1."),
        ("narrow.", "linear2."),
    ):
        own = own.replace(ours, theirs)
    return (own,)


def bert_names(own: str) -> tuple[str, ...]:
    """Names of a layer's tensor in files of BERT, which has three projections for our one."""
    if "attention.qkv." in own:
        parts = ("query", "key", "value")
        return tuple(own.replace("attention.qkv.", f"attention.self.{part}.") for part in parts)
    for ours, theirs in (
        ("attention.output.", "attention.output.dense."),
        ("norm1.", "attention.output.LayerNorm."),
        ("wide.", "intermediate.dense."),
        ("narrow.", "output.dense."),
        ("norm2.", "output.LayerNorm."),
    ):
        if ours in own:
            return (own.replace(ours, theirs),)
    return (own,)
