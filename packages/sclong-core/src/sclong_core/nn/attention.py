"""FAVOR+ attention, written for speed.

Shapes: b cells, n positions, c width, h heads, p pairs of cell and head, d width of a head,
m random features.

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
- The exponent is in powers of two, because ``exp2`` is several times faster than ``exp`` on a CPU,
  and becomes phi in place where no gradient needs it.

:mod:`sclong_core.nn.fused` computes the same without writing phi at all, on a GPU.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sclong_core.config import PerformerConfig
from sclong_core.nn.features import EPSILON, draw_features
from sclong_core.nn.products import Product

_CPU_BLOCK_ELEMENTS = 1 << 19
"""Elements of a block of phi on a CPU: 2 MiB of float32."""


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
        self.fused = False
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
            summarised = _summarise_fused if self.fused else summarise_keys
            parts.append(summarised(k_bhnd, v_bhnd, self.features))
        return merge_keys(parts)

    def forward(self, x_bnc: Tensor, keys: KeySummary) -> Tensor:
        """Let positions ``(cells, n, dim)`` attend to the summarised ones; same shape."""
        (q_bhnd,) = self._split_heads(self.query(x_bnc), 1)
        attended = _attend_fused if self.fused else attend
        attended_bhnd = attended(q_bhnd, keys, self.features)
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
        dtype = v_bhnd.dtype
        projection_dm = _projection(features_md)
        blocks = []
        for heads in _head_blocks(k_bhnd, features_md.shape[0]):
            exponent_pnm, norm_pn1 = _exponent(k_bhnd[:, heads], projection_dm)
            stabiliser_p11 = exponent_pnm.amax(dim=(-1, -2), keepdim=True)
            phi_pmn = _exp2(exponent_pnm, stabiliser_p11).transpose(-1, -2)
            v_pnd = _pairs(v_bhnd[:, heads]) * norm_pn1.to(dtype)
            values_pmd = torch.matmul(phi_pmn.to(dtype), v_pnd).float()
            block = values_pmd, torch.matmul(phi_pmn, norm_pn1), stabiliser_p11
            blocks.append([part.unflatten(0, (k_bhnd.shape[0], -1)) for part in block])
        values, totals, stabilisers = (join(part, dim=1) for part in zip(*blocks, strict=True))
        values_sum_bh1d = v_bhnd.sum(-2, keepdim=True, dtype=torch.float32)
        return _PartialKeys(values, totals, stabilisers, values_sum_bh1d, v_bhnd.shape[-2])


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
        dtype = q_bhnd.dtype
        projection_dm = _projection(features_md)
        blocks = []
        for heads in _head_blocks(q_bhnd, features_md.shape[0]):
            values_pmd = _pairs(keys.values_bhmd[:, heads])
            total_pm1 = _pairs(keys.total_bhm1[:, heads])
            exponent_pnm, norm_pn1 = _exponent(q_bhnd[:, heads], projection_dm)
            phi_pnm = _exp2(exponent_pnm, exponent_pnm.amax(-1, keepdim=True))
            numerator_pnd = torch.matmul(phi_pnm.to(dtype), values_pmd.to(dtype))
            denominator_pn1 = torch.matmul(phi_pnm, total_pm1)
            attended_pnd = (
                numerator_pnd * norm_pn1 + EPSILON * values_pmd.sum(-2, keepdim=True)
            ) / (denominator_pn1 * norm_pn1 + EPSILON * total_pm1.sum(-2, keepdim=True))
            attended_bhnd = attended_pnd.to(dtype).unflatten(0, (q_bhnd.shape[0], -1))
            blocks.append(attended_bhnd.transpose(1, 2))
        # Heads side by side, as the output projection reads them.
        return join(blocks, dim=2).transpose(1, 2)


def _summarise_fused(k_bhnd: Tensor, v_bhnd: Tensor, features_md: Tensor) -> _PartialKeys:
    """:func:`summarise_keys` by a kernel; each head has the stabiliser of its cell."""
    from sclong_core.nn.fused import fused_keys  # noqa: PLC0415  # needs Triton

    with torch.autocast(k_bhnd.device.type, enabled=False):
        projection_md = _projection(features_md).T.contiguous()
        values, total, stabiliser_b111, _ = fused_keys(k_bhnd, v_bhnd, projection_md)
        stabiliser_bh11 = stabiliser_b111.expand(-1, k_bhnd.shape[1], -1, -1)
        values_sum_bh1d = v_bhnd.sum(-2, keepdim=True, dtype=torch.float32)
        return _PartialKeys(values, total, stabiliser_bh11, values_sum_bh1d, v_bhnd.shape[-2])


def _attend_fused(q_bhnd: Tensor, keys: KeySummary, features_md: Tensor) -> Tensor:
    """:func:`attend` by a kernel."""
    from sclong_core.nn.fused import fused_queries  # noqa: PLC0415  # needs Triton

    with torch.autocast(q_bhnd.device.type, enabled=False):
        projection_md = _projection(features_md).T.contiguous()
        found = fused_queries(q_bhnd, keys.values_bhmd, keys.total_bhm1, projection_md)
        attended_bnhd: Tensor = found[0]
        return attended_bnhd.transpose(1, 2)


def join(blocks: Sequence[Tensor], dim: int) -> Tensor:
    """Blocks one behind the other; a single one as it is."""
    return blocks[0] if len(blocks) == 1 else torch.cat(list(blocks), dim=dim)


def attention_weights(
    q_bhnd: Tensor, k_bhnd: Tensor, keys: KeySummary, features_md: Tensor
) -> Tensor:
    """How much queries attend to some of the summarised keys, averaged over heads.

    Weights over *all* keys sum to 1 for each query. One head at a time is in memory.

    Returns:
        ``(cells, queries, keys)`` float32.
    """
    heads = q_bhnd.shape[1]
    projection_dm = _projection(features_md)
    weights_bqk = q_bhnd.new_zeros(
        (q_bhnd.shape[0], q_bhnd.shape[2], k_bhnd.shape[2]), dtype=torch.float32
    )
    for head in range(heads):
        exponent_bnm, norm_bn1 = _exponent(q_bhnd[:, head : head + 1], projection_dm)
        phi_q_bnm = _exp2(exponent_bnm, exponent_bnm.amax(-1, keepdim=True)) * norm_bn1 + EPSILON
        exponent_bnm, norm_bn1 = _exponent(k_bhnd[:, head : head + 1], projection_dm)
        phi_k_bnm = _exp2(exponent_bnm, keys.stabiliser_b111[:, 0]) * norm_bn1 + EPSILON
        total_bn1 = phi_q_bnm @ keys.total_bhm1[:, head]
        weights_bqk += phi_q_bnm @ phi_k_bnm.transpose(-1, -2) / (total_bn1 * heads)
    return weights_bqk


def _pairs(x_bhnd: Tensor) -> Tensor:
    """Pairs of cell and head on one axis, each in one piece of memory."""
    # A product reads its operands several times; in a projection, the positions of a head are
    # kilobytes apart and share few places of a cache.
    return x_bhnd.flatten(0, 1).contiguous()


def _exponent(u_bhnd: Tensor, projection_dm: Tensor) -> tuple[Tensor, Tensor]:
    """``s P u / ln 2`` and ``exp(-s^2 |u|^2 / 2)``, both float32: bfloat16 would lose them."""
    u_pnd = _pairs(u_bhnd).float()
    scale = u_pnd.shape[-1] ** -0.5
    length_pn1 = torch.linalg.vector_norm(u_pnd, dim=-1, keepdim=True)
    norm_pn1 = torch.exp2(length_pn1.square() * (-0.5 * scale / math.log(2)))
    return torch.matmul(u_pnd, projection_dm), norm_pn1


def _projection(features_md: Tensor) -> Tensor:
    """``s P / ln 2``, transposed and float32."""
    scale: float = features_md.shape[-1] ** -0.25
    return (features_md.float() * (scale / math.log(2))).T.contiguous()


def _exp2(exponent: Tensor, stabiliser: Tensor) -> Tensor:
    """``2 ** (exponent - stabiliser)``, in place where no gradient needs the exponent."""
    if torch.is_grad_enabled():
        return torch.exp2(exponent - stabiliser)
    return exponent.sub_(stabiliser).exp2_()


def _head_blocks(u_bhnd: Tensor, features: int) -> list[slice]:
    """All heads at once on an accelerator, as many as stay in the cache on a CPU."""
    cells, heads, positions, _ = u_bhnd.shape
    size = heads
    if u_bhnd.device.type == "cpu":
        size = max(1, min(heads, _CPU_BLOCK_ELEMENTS // (cells * positions * features)))
    return [slice(start, start + size) for start in range(0, heads, size)]
