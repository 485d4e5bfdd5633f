"""FAVOR+ attention, written for speed.

Shapes: b cells, n positions, c width, h heads, d width of a head, m random features.

With ``P`` the random features, ``s = d^-1/4`` and ``eps = 1e-4``::

    phi(u) = exp(s P u - s^2 |u|^2 / 2 - stabiliser) + eps
    output = phi(q) (phi(k)^T v) / (phi(q) . sum phi(k))

The stabiliser of a query is its own largest ``s P u``; that of the keys is the largest over all
heads, positions and features of the *cell*, so that a cell never depends on its neighbours in a
batch (the release takes it over the batch, performer-pytorch 1.1.4 over each head). The gradient
passes through both, as in the release (performer-pytorch stops it there). The factor ``m^-1/2`` of
the paper cancels.

What makes it fast is exact: no approximation is added to the formula.

- Keys and values are only needed as two small sums, which are taken over blocks of positions that
  stay in a CPU's cache. Each block uses its own stabiliser and is rescaled by one number a head.
- ``exp(-s^2 |u|^2 / 2)`` multiplies the values of a key, or the result of a query, instead of phi,
  and ``eps`` enters through the sums. phi is written once and read by the products alone.
- The exponent is in powers of two, because ``exp2`` is several times faster than ``exp`` on a CPU.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sclong_core.config import PerformerConfig
from sclong_core.nn.features import draw_features
from sclong_core.nn.products import Product

EPSILON = 1e-4
_CPU_BLOCK_ELEMENTS = 1 << 20
"""Elements of a block of phi on a CPU: 4 MiB of float32."""


class KeySummary(NamedTuple):
    """What the queries need to know of all keys and values of a cell, in float32."""

    values_bhmd: Tensor
    """``phi(k)^T v``."""
    total_bhm1: Tensor
    """``sum phi(k)``."""
    stabiliser_b111: Tensor
    """The stabiliser of the cell's keys, as a power of two."""


class FavorAttention(nn.Module):
    """Multi-head FAVOR+ self-attention without bias but in its output.

    Used in two steps, so that positions may come in blocks: :meth:`summarise` all of them, then
    call the module with those that attend.
    """

    features: Tensor

    def __init__(self, config: PerformerConfig, *, key: tuple[int, ...]) -> None:
        """Make the projections; ``key`` is (seed, encoder, layer) of the random features."""
        super().__init__()
        self.heads = config.heads
        self.key = key
        self.query = Product(config.dim, config.inner, bias=False)
        self.key_value = Product(config.dim, 2 * config.inner, bias=False)
        self.output = Product(config.inner, config.dim)
        self.register_buffer("features", torch.empty(config.features, config.dim_head))

    @torch.no_grad()
    def redraw(self, redraw_index: int) -> None:
        """Replace the random features by those of ``(*key, redraw_index)``."""
        count, dim_head = self.features.shape
        self.features.copy_(draw_features(count, dim_head, key=(*self.key, redraw_index)))

    def summarise(self, blocks_bnc: Iterable[Tensor]) -> KeySummary:
        """Sum up the keys and values of all positions, given in blocks ``(cells, n, dim)``."""
        parts = []
        for x_bnc in blocks_bnc:
            k_bhnd, v_bhnd = self._split_heads(self.key_value(x_bnc), 2)
            parts.append(summarise_keys(k_bhnd, v_bhnd, self.features))
        return merge_keys(parts)

    def forward(self, x_bnc: Tensor, keys: KeySummary) -> Tensor:
        """Let positions ``(cells, n, dim)`` attend to the summarised ones; same shape."""
        (q_bhnd,) = self._split_heads(self.query(x_bnc), 1)
        attended_bhnd = attend(q_bhnd, keys, self.features)
        output: Tensor = self.output(attended_bhnd.transpose(1, 2).flatten(-2))
        return output

    def weights(self, x_bnc: Tensor, keys: KeySummary) -> Tensor:
        """How much positions ``(cells, n, dim)`` attend to each other: ``(cells, n, n)``."""
        (q_bhnd,) = self._split_heads(self.query(x_bnc), 1)
        k_bhnd, _ = self._split_heads(self.key_value(x_bnc), 2)
        return attention_weights(q_bhnd, k_bhnd, keys, self.features)

    def _split_heads(self, projected_bnc: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Parts of a projection, each ``(cells, heads, positions, dim_head)``."""
        split_bnphd = projected_bnc.unflatten(-1, (parts, self.heads, -1))
        return tuple(split_bnphd.permute(2, 0, 3, 1, 4))


class _PartialKeys(NamedTuple):
    """Sums over one block of positions, before ``eps`` and with a stabiliser of its own."""

    values_bhmd: Tensor
    total_bhm1: Tensor
    stabiliser_bh11: Tensor
    values_sum_bh1d: Tensor
    positions: int


def summarise_keys(k_bhnd: Tensor, v_bhnd: Tensor, features_md: Tensor) -> _PartialKeys:
    """Sums of a block of keys and values ``(cells, heads, positions, dim_head)``."""
    with torch.autocast(k_bhnd.device.type, enabled=False):
        heads = _heads_a_block(k_bhnd, features_md.shape[0])
        blocks = []
        for k, v in zip(k_bhnd.split(heads, dim=1), v_bhnd.split(heads, dim=1), strict=True):
            exponent_bhnm, norm_bhn1 = _exponent(k, features_md)
            stabiliser_bh11 = exponent_bhnm.amax(dim=(-1, -2), keepdim=True)
            phi_bhmn = torch.exp2(exponent_bhnm - stabiliser_bh11).transpose(-1, -2)
            values_bhmd = torch.matmul(phi_bhmn.to(v.dtype), v * norm_bhn1.to(v.dtype)).float()
            blocks.append((values_bhmd, torch.matmul(phi_bhmn, norm_bhn1), stabiliser_bh11))
        values, totals, stabilisers = zip(*blocks, strict=True)
        return _PartialKeys(
            torch.cat(values, dim=1),
            torch.cat(totals, dim=1),
            torch.cat(stabilisers, dim=1),
            v_bhnd.sum(-2, keepdim=True, dtype=torch.float32),
            v_bhnd.shape[-2],
        )


def merge_keys(parts: list[_PartialKeys]) -> KeySummary:
    """Bring blocks to the cell's stabiliser, add them up, and add ``eps`` to every phi."""
    stabilisers_kbh11 = torch.stack([part.stabiliser_bh11 for part in parts])
    stabiliser_b111 = stabilisers_kbh11.amax(dim=(0, 2)).unsqueeze(-1)
    scales = torch.exp2(stabilisers_kbh11 - stabiliser_b111)
    values_sum_bh1d = torch.stack([part.values_sum_bh1d for part in parts]).sum(0)
    values = [part.values_bhmd * scale for part, scale in zip(parts, scales, strict=True)]
    totals = [part.total_bhm1 * scale for part, scale in zip(parts, scales, strict=True)]
    return KeySummary(
        torch.stack(values).sum(0) + EPSILON * values_sum_bh1d,
        torch.stack(totals).sum(0) + EPSILON * sum(part.positions for part in parts),
        stabiliser_b111,
    )


def attend(q_bhnd: Tensor, keys: KeySummary, features_md: Tensor) -> Tensor:
    """Attention output of queries ``(cells, heads, positions, dim_head)``; same shape and dtype."""
    with torch.autocast(q_bhnd.device.type, enabled=False):
        values_eps_bh1d = EPSILON * keys.values_bhmd.sum(-2, keepdim=True)
        total_eps_bh11 = EPSILON * keys.total_bhm1.sum(-2, keepdim=True)
        values_bhmd = keys.values_bhmd.to(q_bhnd.dtype)
        heads = _heads_a_block(q_bhnd, features_md.shape[0])
        blocks = []
        for start in range(0, q_bhnd.shape[1], heads):
            block = slice(start, start + heads)
            exponent_bhnm, norm_bhn1 = _exponent(q_bhnd[:, block], features_md)
            phi_bhnm = torch.exp2(exponent_bhnm - exponent_bhnm.amax(-1, keepdim=True))
            numerator_bhnd = torch.matmul(phi_bhnm.to(q_bhnd.dtype), values_bhmd[:, block])
            denominator_bhn1 = torch.matmul(phi_bhnm, keys.total_bhm1[:, block])
            attended_bhnd = (numerator_bhnd * norm_bhn1 + values_eps_bh1d[:, block]) / (
                denominator_bhn1 * norm_bhn1 + total_eps_bh11[:, block]
            )
            blocks.append(attended_bhnd.to(q_bhnd.dtype))
        return torch.cat(blocks, dim=1)


def attention_weights(
    q_bhnd: Tensor, k_bhnd: Tensor, keys: KeySummary, features_md: Tensor
) -> Tensor:
    """How much queries attend to some of the summarised keys, averaged over heads.

    Weights over *all* keys sum to 1 for each query. One head at a time is in memory.

    Returns:
        ``(cells, queries, keys)`` float32.
    """
    heads = q_bhnd.shape[1]
    weights_bqk = q_bhnd.new_zeros(
        (q_bhnd.shape[0], q_bhnd.shape[2], k_bhnd.shape[2]), dtype=torch.float32
    )
    for head in range(heads):
        exponent_bnm, norm_bn1 = _exponent(q_bhnd[:, head], features_md)
        phi_q_bnm = torch.exp2(exponent_bnm - exponent_bnm.amax(-1, keepdim=True)) * norm_bn1
        phi_q_bnm = phi_q_bnm + EPSILON
        exponent_bnm, norm_bn1 = _exponent(k_bhnd[:, head], features_md)
        phi_k_bnm = torch.exp2(exponent_bnm - keys.stabiliser_b111[:, 0]) * norm_bn1 + EPSILON
        total_bn1 = phi_q_bnm @ keys.total_bhm1[:, head]
        weights_bqk += phi_q_bnm @ phi_k_bnm.transpose(-1, -2) / (total_bn1 * heads)
    return weights_bqk


def _exponent(u_bhnd: Tensor, features_md: Tensor) -> tuple[Tensor, Tensor]:
    """``s P u / ln 2`` and ``exp(-s^2 |u|^2 / 2)``, both float32: bfloat16 would lose them."""
    scale = u_bhnd.shape[-1] ** -0.5
    u_bhnd = u_bhnd.float()
    projection_dm = (features_md.float() * (math.sqrt(scale) / math.log(2))).T
    norm_bhn1 = torch.exp2(u_bhnd.square().sum(-1, keepdim=True) * (-0.5 * scale / math.log(2)))
    return torch.matmul(u_bhnd, projection_dm), norm_bhn1


def _heads_a_block(u_bhnd: Tensor, features: int) -> int:
    """All heads at once on an accelerator, as many as stay in the cache on a CPU."""
    cells, heads, positions, _ = u_bhnd.shape
    if u_bhnd.device.type != "cpu":
        return heads
    return max(1, min(heads, _CPU_BLOCK_ELEMENTS // (cells * positions * features)))
