"""FAVOR+ attention in fused kernels, which never write phi to memory.

Formulas and shapes are those of :mod:`sclong_core.nn.attention`. Here ``P`` carries ``s / ln 2``:
exponents ``x = P u`` are in powers of two. With ``w = exp(-s^2 |u|^2 / 2)`` and ``a = ln 2``::

    keys      psi_nm = w_n 2^(x_nm - S)             S: largest x of the cell
              V_md = sum_n psi_nm v_nd              T_m = sum_n psi_nm
    queries   phi_nm = w_n 2^(x_nm - S_n) + eps     S_n: largest x of the position
              output_nd = sum_m phi_nm V'_md / sum_m phi_nm T'_m
              V' = V + eps sum_n v_nd               T' = T + eps n

Forward. *Keys*: a program takes one pair, a block of features and a chunk of positions, which it
walks over; it keeps the largest exponent so far of each feature and rescales its sums of
``phi^T [v | 1]`` when that grows. Chunks and features then come to ``S`` by a factor each, which is
exact. *Queries*: a program takes one pair and a block of positions and walks over the features in
the same manner; it writes ``(cells, positions, heads, width)``, as the output projection reads it.

Backward computes phi again; kept are inputs, ``S``, ``S_n`` and the denominator. Of queries, with
``g`` the gradient of ``output`` and ``best(n)`` the feature of the largest exponent::

    u_nd = g_nd / denominator_n           l_n = -sum_d g_nd output_nd / denominator_n
    dV'_md = sum_n phi_nm u_nd            dT'_m = sum_n phi_nm l_n
    dx_nm = a (phi_nm - eps) (sum_d u_nd V'_md + l_n T'_m)        r_n = sum_m dx_nm
    dq_n = sum_m dx_nm P_m - r_n P_best(n) - s^2 / a r_n q_n

because ``S_n`` enters each exponent of its position once, with a minus. Of keys, likewise::

    dv_nd = sum_m psi_nm dV_md
    dx_nm = a psi_nm (sum_d v_nd dV_md + dT_m)                    r_n = sum_m dx_nm
    dk_n = sum_m dx_nm P_m - s^2 / a r_n k_n
    dS = (gradient of S from outside) - a sum (V dV + T dT)

and ``dS P`` goes to the key that ``S`` is taken from, which one product of its head finds again.

Precision: sums are float32, products of float32 are of three TF32 parts. With bfloat16 inputs,
``x`` is two products, by the upper and the lower half of ``P``. Inputs have a last stride of 1.
"""

import math
import os
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sclong_core.nn.features import EPSILON
from sclong_core.nn.kernels import require_fused

_EPSILON = tl.constexpr(EPSILON)
_INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
_LN2 = tl.constexpr(math.log(2))
_ROWS = 64
"""Positions of a tile."""
_FEATURES = 32
"""Features of a tile: 266 take nine."""
_PROGRAMS = 512
"""Enough to fill an accelerator; with fewer, positions are cut into chunks."""


@triton.jit
def _half_product(a, b):
    """``a b`` of bfloat16 with float32 sums; the interpreter's own product does not know it."""
    a, b = a.to(tl.bfloat16), b.to(tl.bfloat16)
    if _INTERPRETED:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b)


@triton.jit
def _exponent(u_nd, p_dm):
    """``P u`` in float32."""
    if u_nd.dtype == tl.bfloat16:
        high_dm = p_dm.to(tl.bfloat16)
        low_dm = p_dm - high_dm.to(tl.float32)
        x_nm = _half_product(u_nd, high_dm) + _half_product(u_nd, low_dm)
    else:
        x_nm = tl.dot(u_nd, p_dm, input_precision="tf32x3")
    return x_nm


@triton.jit
def _product(a, b, like):
    """``a b`` in the type of ``like``, with float32 sums."""
    if like.dtype == tl.bfloat16:
        product = _half_product(a, b)
    else:
        product = tl.dot(a, b, input_precision="tf32x3")
    return product


@triton.jit
def _norm(u_nd, scale):
    """``w``; ``scale`` is ``s^2 / a``."""
    u_nd = u_nd.to(tl.float32)
    return tl.exp2(tl.sum(u_nd * u_nd, axis=1) * (-0.5 * scale))


@triton.jit
def _rows(base, n, d, stride, positions, width):
    """A tile of ``(positions, width)``; zero beyond."""
    mask_nd = (n < positions)[:, None] & (d < width)[None, :]
    return tl.load(base + n[:, None] * stride + d[None, :], mask=mask_nd, other=0.0)


@triton.jit
def _columns(base, m, d, features, width):
    """A tile of ``(features, width)``, transposed; zero beyond."""
    mask_dm = (m < features)[None, :] & (d < width)[:, None]
    return tl.load(base + m[None, :] * width + d[:, None], mask=mask_dm, other=0.0)


@triton.jit
def _keys_kernel(
    k, v, projection, values, total, largest,
    k_b, k_h, k_n, v_b, v_h, v_n, heads, positions, features, chunk, chunks, blocks, width, scale,
    tile_n: tl.constexpr, tile_m: tl.constexpr, tile_d: tl.constexpr,
):  # fmt: skip
    """``phi^T [v | 1]`` of a chunk, each feature under its own largest exponent."""
    program = tl.program_id(0)
    m = (program % blocks) * tile_m + tl.arange(0, tile_m)
    part = (program // blocks).to(tl.int64)
    first = (part % chunks).to(tl.int32) * chunk
    cell, head = part // chunks // heads, part // chunks % heads
    k += cell * k_b + head * k_h
    v += cell * v_b + head * v_h
    d = tl.arange(0, tile_d)
    p_dm = _columns(projection, m, d, features, width)
    largest_m = tl.full([tile_m], float("-inf"), tl.float32)
    total_m = tl.zeros([tile_m], tl.float32)
    values_md = tl.zeros([tile_m, tile_d], tl.float32)
    last = tl.minimum(first + chunk, positions)
    for start in range(first, last, tile_n):
        n = start + tl.arange(0, tile_n)
        k_nd = _rows(k, n, d, k_n, last, width)
        v_nd = _rows(v, n, d, v_n, last, width)
        w_n = _norm(k_nd, scale)
        x_nm = tl.where((n < last)[:, None], _exponent(k_nd, p_dm), float("-inf"))
        higher_m = tl.maximum(largest_m, tl.max(x_nm, axis=0))
        scale_m = tl.exp2(largest_m - higher_m)
        phi_nm = tl.exp2(x_nm - higher_m[None, :])
        weighted_nd = v_nd.to(tl.float32) * w_n[:, None]
        values_md = values_md * scale_m[:, None] + _product(tl.trans(phi_nm), weighted_nd, v_nd)
        total_m = total_m * scale_m + tl.sum(phi_nm * w_n[:, None], axis=0)
        largest_m = higher_m
    place_m = part * features + m
    known_m = m < features
    tl.store(largest + place_m, largest_m, mask=known_m)
    tl.store(total + place_m, total_m, mask=known_m)
    place_md = values + place_m[:, None] * width + d[None, :]
    tl.store(place_md, values_md, mask=known_m[:, None] & (d < width)[None, :])


@triton.jit
def _keys_backward_kernel(
    k, v, projection, largest, d_values, d_total, d_k, d_v,
    k_b, k_h, k_n, v_b, v_h, v_n, d_b, d_h, d_n, heads, positions, features, blocks, width, scale,
    tile_n: tl.constexpr, tile_m: tl.constexpr, tile_d: tl.constexpr,
):  # fmt: skip
    """Gradients of keys and values, but for what the keys have from ``S``."""
    pair = (tl.program_id(0) // blocks).to(tl.int64)
    n = tl.program_id(0) % blocks * tile_n + tl.arange(0, tile_n)
    d = tl.arange(0, tile_d)
    cell, head = pair // heads, pair % heads
    k_nd = _rows(k + cell * k_b + head * k_h, n, d, k_n, positions, width)
    v_nd = _rows(v + cell * v_b + head * v_h, n, d, v_n, positions, width)
    w_n = _norm(k_nd, scale)
    largest_0 = tl.load(largest + cell)
    d_k_nd = tl.zeros([tile_n, tile_d], tl.float32)
    d_v_nd = tl.zeros([tile_n, tile_d], tl.float32)
    sum_n = tl.zeros([tile_n], tl.float32)
    for start in range(0, features, tile_m):
        m = start + tl.arange(0, tile_m)
        p_dm = _columns(projection, m, d, features, width)
        d_values_dm = _columns(d_values + pair * features * width, m, d, features, width)
        d_total_m = tl.load(d_total + pair * features + m, mask=m < features, other=0.0)
        psi_nm = tl.exp2(_exponent(k_nd, p_dm) - largest_0) * w_n[:, None]
        psi_nm = tl.where((m < features)[None, :], psi_nm, 0.0)
        d_v_nd += _product(psi_nm, tl.trans(d_values_dm), v_nd)
        d_psi_nm = _product(v_nd, d_values_dm, v_nd) + d_total_m[None, :]
        d_x_nm = _LN2 * psi_nm * d_psi_nm
        sum_n += tl.sum(d_x_nm, axis=1)
        d_k_nd += _product(d_x_nm, tl.trans(p_dm), k_nd)
    d_k_nd -= k_nd.to(tl.float32) * (scale * sum_n)[:, None]
    offset_nd = cell * d_b + head * d_h + n[:, None] * d_n + d[None, :]
    mask_nd = (n < positions)[:, None] & (d < width)[None, :]
    tl.store(d_k + offset_nd, d_k_nd.to(d_k.dtype.element_ty), mask=mask_nd)
    tl.store(d_v + offset_nd, d_v_nd.to(d_v.dtype.element_ty), mask=mask_nd)


@triton.jit
def _queries_kernel(
    q, projection, values, total, values_sum, total_sum, output, largest, best, denominator,
    q_b, q_h, q_n, o_b, o_h, o_n, heads, positions, features, blocks, width, scale,
    tile_n: tl.constexpr, tile_m: tl.constexpr, tile_d: tl.constexpr,
):  # fmt: skip
    """``phi [V' | T']``, divided, for a block of positions."""
    pair = (tl.program_id(0) // blocks).to(tl.int64)
    n = tl.program_id(0) % blocks * tile_n + tl.arange(0, tile_n)
    d = tl.arange(0, tile_d)
    cell, head = pair // heads, pair % heads
    q_nd = _rows(q + cell * q_b + head * q_h, n, d, q_n, positions, width)
    largest_n = tl.full([tile_n], float("-inf"), tl.float32)
    best_n = tl.zeros([tile_n], tl.int32)
    total_n = tl.zeros([tile_n], tl.float32)
    sum_nd = tl.zeros([tile_n, tile_d], tl.float32)
    for start in range(0, features, tile_m):
        m = start + tl.arange(0, tile_m)
        p_dm = _columns(projection, m, d, features, width)
        x_nm = tl.where((m < features)[None, :], _exponent(q_nd, p_dm), float("-inf"))
        values_dm = _columns(values + pair * features * width, m, d, features, width)
        total_m = tl.load(total + pair * features + m, mask=m < features, other=0.0)
        here_n, place_n = tl.max(x_nm, axis=1, return_indices=True)
        best_n = tl.where(here_n > largest_n, start + place_n, best_n)
        higher_n = tl.maximum(largest_n, here_n)
        scale_n = tl.exp2(largest_n - higher_n)
        phi_nm = tl.exp2(x_nm - higher_n[:, None])
        sum_nd = sum_nd * scale_n[:, None] + _product(phi_nm, tl.trans(values_dm), q_nd)
        total_n = total_n * scale_n + tl.sum(phi_nm * total_m[None, :], axis=1)
        largest_n = higher_n
    w_n = _norm(q_nd, scale)
    values_sum_d = tl.load(values_sum + pair * width + d, mask=d < width, other=0.0)
    total_n = total_n * w_n + _EPSILON * tl.load(total_sum + pair)
    output_nd = (sum_nd * w_n[:, None] + _EPSILON * values_sum_d[None, :]) / total_n[:, None]
    known_n = n < positions
    place_n = pair * positions + n
    tl.store(largest + place_n, largest_n, mask=known_n)
    tl.store(best + place_n, best_n, mask=known_n)
    tl.store(denominator + place_n, total_n, mask=known_n)
    offset_nd = cell * o_b + head * o_h + n[:, None] * o_n + d[None, :]
    mask_nd = known_n[:, None] & (d < width)[None, :]
    tl.store(output + offset_nd, output_nd.to(output.dtype.element_ty), mask=mask_nd)


@triton.jit
def _ratio(gradient, output, denominator, n, d, stride, positions, width):
    """Gradients of numerator and denominator, ``u_nd`` and ``l_n``."""
    gradient_nd = _rows(gradient, n, d, stride, positions, width).to(tl.float32)
    output_nd = _rows(output, n, d, stride, positions, width).to(tl.float32)
    below_n = tl.load(denominator + n, mask=n < positions, other=1.0)
    return gradient_nd / below_n[:, None], -tl.sum(gradient_nd * output_nd, axis=1) / below_n


@triton.jit
def _queries_backward_kernel(
    q, projection, values, total, output, largest, best, denominator, gradient, d_q,
    q_b, q_h, q_n, o_b, o_h, o_n, heads, positions, features, blocks, width, scale,
    tile_n: tl.constexpr, tile_m: tl.constexpr, tile_d: tl.constexpr,
):  # fmt: skip
    """Gradient of a block of queries."""
    pair = (tl.program_id(0) // blocks).to(tl.int64)
    n = tl.program_id(0) % blocks * tile_n + tl.arange(0, tile_n)
    d = tl.arange(0, tile_d)
    cell, head = pair // heads, pair % heads
    offset = cell * o_b + head * o_h
    q_nd = _rows(q + cell * q_b + head * q_h, n, d, q_n, positions, width)
    upper_nd, lower_n = _ratio(
        gradient + offset, output + offset, denominator + pair * positions,
        n, d, o_n, positions, width,
    )  # fmt: skip
    known_n = n < positions
    largest_n = tl.load(largest + pair * positions + n, mask=known_n, other=0.0)
    best_n = tl.load(best + pair * positions + n, mask=known_n, other=0)
    w_n = _norm(q_nd, scale)
    d_q_nd = tl.zeros([tile_n, tile_d], tl.float32)
    sum_n = tl.zeros([tile_n], tl.float32)
    for start in range(0, features, tile_m):
        m = start + tl.arange(0, tile_m)
        p_dm = _columns(projection, m, d, features, width)
        values_dm = _columns(values + pair * features * width, m, d, features, width)
        total_m = tl.load(total + pair * features + m, mask=m < features, other=0.0)
        x_nm = tl.where((m < features)[None, :], _exponent(q_nd, p_dm), float("-inf"))
        phi_nm = tl.exp2(x_nm - largest_n[:, None]) * w_n[:, None]
        d_phi_nm = _product(upper_nd, values_dm, q_nd) + lower_n[:, None] * total_m[None, :]
        d_x_nm = _LN2 * phi_nm * d_phi_nm
        sum_n += tl.sum(d_x_nm, axis=1)
        d_q_nd += _product(d_x_nm, tl.trans(p_dm), q_nd)
    best_nd = _rows(projection, best_n, d, width, features, width)
    scaled_nd = q_nd.to(tl.float32) * scale
    d_q_nd -= sum_n[:, None] * (best_nd + scaled_nd)
    mask_nd = known_n[:, None] & (d < width)[None, :]
    place_nd = offset + n[:, None] * o_n + d[None, :]
    tl.store(d_q + place_nd, d_q_nd.to(d_q.dtype.element_ty), mask=mask_nd)


@triton.jit
def _summary_backward_kernel(
    q, projection, output, largest, denominator, gradient, d_values, d_total,
    q_b, q_h, q_n, o_b, o_h, o_n, heads, positions, features, chunk, chunks, blocks, width, scale,
    tile_n: tl.constexpr, tile_m: tl.constexpr, tile_d: tl.constexpr,
):  # fmt: skip
    """Gradients of ``V'`` and ``T'`` from a chunk of queries."""
    program = tl.program_id(0)
    m = (program % blocks) * tile_m + tl.arange(0, tile_m)
    part = (program // blocks).to(tl.int64)
    first = (part % chunks).to(tl.int32) * chunk
    pair = part // chunks
    cell, head = pair // heads, pair % heads
    q += cell * q_b + head * q_h
    offset = cell * o_b + head * o_h
    d = tl.arange(0, tile_d)
    p_dm = _columns(projection, m, d, features, width)
    d_values_md = tl.zeros([tile_m, tile_d], tl.float32)
    d_total_m = tl.zeros([tile_m], tl.float32)
    last = tl.minimum(first + chunk, positions)
    for start in range(first, last, tile_n):
        n = start + tl.arange(0, tile_n)
        q_nd = _rows(q, n, d, q_n, last, width)
        upper_nd, lower_n = _ratio(
            gradient + offset, output + offset, denominator + pair * positions,
            n, d, o_n, last, width,
        )  # fmt: skip
        largest_n = tl.load(largest + pair * positions + n, mask=n < last, other=0.0)
        x_nm = tl.where((m < features)[None, :], _exponent(q_nd, p_dm), float("-inf"))
        phi_nm = tl.exp2(x_nm - largest_n[:, None]) * _norm(q_nd, scale)[:, None] + _EPSILON
        d_values_md += _product(tl.trans(phi_nm), upper_nd, q_nd)
        d_total_m += tl.sum(phi_nm * lower_n[:, None], axis=0)
    place_m = part * features + m
    known_m = m < features
    tl.store(d_total + place_m, d_total_m, mask=known_m)
    known_md = known_m[:, None] & (d < width)[None, :]
    tl.store(d_values + place_m[:, None] * width + d[None, :], d_values_md, mask=known_md)


def _launch(kernel: Any, programs: int, width: int, *arguments: Any) -> None:
    """Run a kernel where its first argument is; tensor cores take sides of 16 or more."""
    columns = max(16, triton.next_power_of_2(width))
    settings = {"width": width, "scale": 1 / (math.sqrt(width) * math.log(2))}
    with torch.cuda.device_of(arguments[0]):
        kernel[(programs,)](*arguments, **settings, tile_n=_ROWS, tile_m=_FEATURES, tile_d=columns)


def _chunks(pairs: int, positions: int, features: int) -> tuple[int, int, int]:
    """Positions of a chunk, chunks, and blocks of features."""
    blocks = triton.cdiv(features, _FEATURES)
    chunk = triton.cdiv(positions, triton.cdiv(_PROGRAMS, pairs * blocks))
    chunk = triton.cdiv(chunk, _ROWS) * _ROWS
    return chunk, triton.cdiv(positions, chunk), blocks


def _readable(u_bhnd: Tensor) -> Tensor:
    """The same, of stride 1 in the last dimension."""
    return u_bhnd if u_bhnd.stride(-1) == 1 else u_bhnd.contiguous()


@torch.library.custom_op("sclong::favor_keys", mutates_args=())
def fused_keys(
    k_bhnd: Tensor, v_bhnd: Tensor, projection_md: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``V``, ``T``, ``S`` of each cell, float32, and the head that ``S`` is of.

    Keys and values are float32 or bfloat16; ``projection_md`` is ``s P / ln 2`` in float32.

    Raises:
        ConfigError: the kernels cannot run where the tensors are.
    """
    require_fused(k_bhnd.device)
    k_bhnd, v_bhnd = _readable(k_bhnd), _readable(v_bhnd)
    b, h, n, d = k_bhnd.shape
    features = len(projection_md)
    chunk, chunks, blocks = _chunks(b * h, n, features)
    values = k_bhnd.new_empty((b, h, chunks, features, d), dtype=torch.float32)
    total, largest = (values.new_empty((b, h, chunks, features, 1)) for _ in range(2))
    _launch(
        _keys_kernel, b * h * chunks * blocks, d,
        k_bhnd, v_bhnd, projection_md, values, total, largest,
        *k_bhnd.stride()[:3], *v_bhnd.stride()[:3],
        h, n, features, chunk, chunks, blocks,
    )  # fmt: skip
    stabiliser_b, head_b = largest.amax(dim=(2, 3, 4)).max(1)
    stabiliser_b111 = stabiliser_b[:, None, None, None]
    scale = torch.exp2(largest - stabiliser_b111.unsqueeze(-1))
    return (values * scale).sum(2), (total * scale).sum(2), stabiliser_b111, head_b


@fused_keys.register_fake
def _(k_bhnd: Tensor, v_bhnd: Tensor, projection_md: Tensor) -> tuple[Tensor, ...]:
    b, h, _, d = v_bhnd.shape
    values = k_bhnd.new_empty((b, h, len(projection_md), d), dtype=torch.float32)
    total = values.new_empty((b, h, len(projection_md), 1))
    return values, total, values.new_empty((b, 1, 1, 1)), total.new_empty(b, dtype=torch.int64)


@torch.library.custom_op("sclong::favor_keys_backward", mutates_args=())
def _keys_backward(
    kept: list[Tensor], d_values_bhmd: Tensor, d_total_bhm1: Tensor, d_stabiliser_b111: Tensor
) -> tuple[Tensor, Tensor]:
    k_bhnd, v_bhnd, projection_md, values_bhmd, total_bhm1, stabiliser_b111, head_b = kept
    k_bhnd, v_bhnd = _readable(k_bhnd), _readable(v_bhnd)
    b, h, n, d = k_bhnd.shape
    blocks = triton.cdiv(n, _ROWS)
    d_k_bnhd, d_v_bnhd = (k_bhnd.new_empty((b, n, h, d)) for _ in range(2))
    _launch(
        _keys_backward_kernel, b * h * blocks, d,
        k_bhnd, v_bhnd, projection_md, stabiliser_b111,
        d_values_bhmd.contiguous(), d_total_bhm1.contiguous(), d_k_bnhd, d_v_bnhd,
        *k_bhnd.stride()[:3], *v_bhnd.stride()[:3], n * h * d, d, h * d,
        h, n, len(projection_md), blocks,
    )  # fmt: skip
    inner_bhm1 = (values_bhmd * d_values_bhmd).sum(-1, keepdim=True) + total_bhm1 * d_total_bhm1
    d_stabiliser_b = d_stabiliser_b111.flatten() - math.log(2) * inner_bhm1.sum((1, 2, 3))
    cells = torch.arange(b, device=k_bhnd.device)
    x_bnm = k_bhnd[cells, head_b].float() @ projection_md.T
    best_bnm = x_bnm == x_bnm.amax(dim=(1, 2), keepdim=True)
    share_b11 = (d_stabiliser_b / best_bnm.sum(dim=(1, 2)))[:, None, None]
    d_k_bnhd[cells, :, head_b] += ((best_bnm * share_b11) @ projection_md).to(k_bhnd.dtype)
    return d_k_bnhd.transpose(1, 2), d_v_bnhd.transpose(1, 2)


@_keys_backward.register_fake
def _(kept: list[Tensor], *_: Tensor) -> tuple[Tensor, Tensor]:
    b, h, n, d = kept[0].shape
    d_k, d_v = (kept[0].new_empty((b, n, h, d)).transpose(1, 2) for _ in range(2))
    return d_k, d_v


@torch.library.custom_op("sclong::favor_queries", mutates_args=())
def fused_queries(
    q_bhnd: Tensor, values_bhmd: Tensor, total_bhm1: Tensor, projection_md: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The output of queries, given ``V'`` and ``T'``; ``S_n``, its feature, and the denominator.

    Queries are float32 or bfloat16, and so is the output; ``projection_md`` is ``s P / ln 2``.

    Raises:
        ConfigError: the kernels cannot run where the tensors are.
    """
    require_fused(q_bhnd.device)
    q_bhnd = _readable(q_bhnd)
    b, h, n, d = q_bhnd.shape
    blocks = triton.cdiv(n, _ROWS)
    output_bnhd, largest, best, denominator = _empty_queries(q_bhnd)
    _launch(
        _queries_kernel, b * h * blocks, d,
        q_bhnd, projection_md, values_bhmd.contiguous(), total_bhm1.contiguous(),
        values_bhmd.sum(-2), total_bhm1.sum(-2), output_bnhd, largest, best, denominator,
        *q_bhnd.stride()[:3], n * h * d, d, h * d,
        h, n, len(projection_md), blocks,
    )  # fmt: skip
    return output_bnhd, largest, best, denominator


def _empty_queries(q_bhnd: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    b, h, n, d = q_bhnd.shape
    largest, denominator = (q_bhnd.new_empty((b, h, n), dtype=torch.float32) for _ in range(2))
    best = q_bhnd.new_empty((b, h, n), dtype=torch.int32)
    return q_bhnd.new_empty((b, n, h, d)), largest, best, denominator


fused_queries.register_fake(lambda q_bhnd, *_: _empty_queries(q_bhnd))


@torch.library.custom_op("sclong::favor_queries_backward", mutates_args=())
def _queries_backward(kept: list[Tensor], gradient_bnhd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    q_bhnd, values, total, projection_md, output_bnhd, largest, best, denominator = kept
    q_bhnd, gradient_bnhd = _readable(q_bhnd), gradient_bnhd.contiguous()
    b, h, n, d = q_bhnd.shape
    features = len(projection_md)
    strides = (*q_bhnd.stride()[:3], n * h * d, d, h * d)
    blocks = triton.cdiv(n, _ROWS)
    d_q_bnhd = torch.empty_like(output_bnhd)
    _launch(
        _queries_backward_kernel, b * h * blocks, d,
        q_bhnd, projection_md, values.contiguous(), total.contiguous(),
        output_bnhd, largest, best, denominator, gradient_bnhd, d_q_bnhd,
        *strides, h, n, features, blocks,
    )  # fmt: skip
    chunk, chunks, blocks = _chunks(b * h, n, features)
    d_values = values.new_empty((b, h, chunks, features, d))
    d_total = values.new_empty((b, h, chunks, features, 1))
    _launch(
        _summary_backward_kernel, b * h * chunks * blocks, d,
        q_bhnd, projection_md, output_bnhd, largest, denominator, gradient_bnhd,
        d_values, d_total, *strides, h, n, features, chunk, chunks, blocks,
    )  # fmt: skip
    return d_q_bnhd.transpose(1, 2), d_values.sum(2), d_total.sum(2)


@_queries_backward.register_fake
def _(kept: list[Tensor], _: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    values, total, output_bnhd = kept[1], kept[2], kept[4]
    d_q_bnhd = torch.empty_like(output_bnhd)
    return d_q_bnhd.transpose(1, 2), values.new_empty(values.shape), total.new_empty(total.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _keys_gradients(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
    return (*_keys_backward(list(ctx.saved_tensors), *gradients[:3]), None)


def _queries_gradients(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return (*_queries_backward(list(ctx.saved_tensors), gradients[0]), None)


fused_keys.register_autograd(_keys_gradients, setup_context=_keep)
fused_queries.register_autograd(_queries_gradients, setup_context=_keep)
