"""FAVOR+ against performer-pytorch, exact softmax attention, and itself in other blocks."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from performer_pytorch import FastAttention

from sclong_core.config import PerformerConfig
from sclong_core.nn import attention as favor
from sclong_core.nn.features import draw_features
from sclong_core.nn.performer import PerformerLayer


def qkv(cells=2, heads=3, positions=37, dim_head=16, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (3, cells, heads, positions, dim_head)
    return torch.randn(shape, generator=generator).to(dtype).unbind(0)


def attend_all(q, k, v, features, block=None):
    starts = range(0, k.shape[2], block or k.shape[2])
    parts = [
        favor.summarise_keys(
            k[:, :, start : start + (block or k.shape[2])],
            v[:, :, start : start + (block or k.shape[2])],
            features,
        )
        for start in starts
    ]
    return favor.attend(q, favor.merge_keys(parts), features)


def test_equals_performer_pytorch():
    """With one head, because performer-pytorch takes the key stabiliser over each head."""
    q, k, v = qkv(cells=1, heads=1)
    reference = FastAttention(dim_heads=16, nb_features=44)
    ours = attend_all(q, k, v, reference.projection_matrix)
    torch.testing.assert_close(ours, reference(q, k, v), atol=1e-5, rtol=1e-5)


def test_equals_the_formula_in_float64():
    q, k, v = qkv()
    features = draw_features(44, 16, key=(0,)).double()
    scale = 16**-0.25

    def phi(u, stabiliser):
        return torch.exp(u - stabiliser) + 1e-4

    q64, k64, v64 = q.double(), k.double(), v.double()
    q_exponent = q64 @ features.T * scale
    k_exponent = k64 @ features.T * scale
    q_norm = (q64.square().sum(-1, keepdim=True) / 2) * scale**2
    k_norm = (k64.square().sum(-1, keepdim=True) / 2) * scale**2
    phi_q = phi(q_exponent - q_norm, q_exponent.amax(-1, keepdim=True))
    phi_k = phi(k_exponent - k_norm, k_exponent.amax(dim=(1, 2, 3), keepdim=True))
    expected = phi_q @ (phi_k.transpose(-1, -2) @ v64)
    expected = expected / (phi_q @ phi_k.sum(-2).unsqueeze(-1))
    ours = attend_all(q, k, v, features.float())
    torch.testing.assert_close(ours.double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("block", [1, 5, 36])
@pytest.mark.parametrize("elements", [1, 2_000, 1 << 20])
def test_blocks_of_positions_and_heads_change_nothing(monkeypatch, block, elements):
    q, k, v = qkv()
    features = draw_features(44, 16, key=(0,))
    whole = attend_all(q, k, v, features)
    monkeypatch.setattr(favor, "_CPU_BLOCK_ELEMENTS", elements)
    torch.testing.assert_close(attend_all(q, k, v, features, block), whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("elements", [1, 2_000, 1 << 20])
def test_without_gradients_it_is_the_same(monkeypatch, dtype, elements):
    monkeypatch.setattr(favor, "_CPU_BLOCK_ELEMENTS", elements)
    inputs = qkv(dtype=dtype)
    before = [tensor.clone() for tensor in inputs]
    features = draw_features(44, 16, key=(0,))
    with_gradients = attend_all(*inputs, features, block=20)
    with torch.no_grad():
        without = attend_all(*inputs, features, block=20)
    with torch.inference_mode():
        inferred = attend_all(*inputs, features, block=20)
    assert torch.equal(without, inferred)
    torch.testing.assert_close(without, with_gradients)
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))


@torch.no_grad()
def test_results_stay_as_they_are_while_others_are_computed():
    """What is computed in place belongs to one call: not to a later one, nor another thread's."""
    features = draw_features(44, 16, key=(0,))
    batches = [qkv(cells=cells, seed=cells) for cells in (1, 3, 2, 1)] * 5
    results = [attend_all(*batch, features) for batch in batches]
    copies = [result.clone() for result in results]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: no_grad_attend(batch, features), batches))
    assert all(torch.equal(a, b) for a, b in zip(results, copies, strict=True))
    for alone, beside_others in zip(results, together, strict=True):
        torch.testing.assert_close(alone, beside_others)


def no_grad_attend(batch, features):
    """Whether gradients are kept is each thread's own setting."""
    with torch.no_grad():
        return attend_all(*batch, features)


def test_error_against_softmax_attention_falls_with_more_features():
    q, k, v = (0.5 * tensor for tensor in qkv(cells=1, heads=4, positions=64))
    exact = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    errors = []
    for count in (16, 64, 256, 1_024):
        draws = [draw_features(count, 16, key=(seed, count)) for seed in range(5)]
        estimates = [attend_all(q, k, v, features) for features in draws]
        errors.append(math.fsum(float((e - exact).square().mean()) for e in estimates))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 10


def test_a_cell_does_not_depend_on_its_neighbours():
    q, k, v = qkv(cells=3)
    k = torch.cat([k[:2], 30 * k[2:]])  # a neighbour with a far larger stabiliser
    features = draw_features(44, 16, key=(0,))
    together = attend_all(q, k, v, features)
    for cell in range(3):
        alone = attend_all(*(t[cell : cell + 1] for t in (q, k, v)), features)
        torch.testing.assert_close(alone, together[cell : cell + 1], atol=1e-6, rtol=1e-5)


def test_large_norms_stay_finite():
    q, k, v = (50 * tensor for tensor in qkv())
    assert attend_all(q, k, v, draw_features(44, 16, key=(0,))).isfinite().all()


def test_bfloat16_is_close():
    q, k, v = qkv(positions=200)
    features = draw_features(44, 16, key=(0,))
    exact = attend_all(q, k, v, features)
    half = attend_all(*(t.bfloat16() for t in (q, k, v)), features)
    assert half.dtype == torch.bfloat16
    similarity = torch.cosine_similarity(exact.flatten(2), half.float().flatten(2), dim=-1)
    assert similarity.min() > 0.9995


def test_gradients_are_those_of_the_formula():
    """Finite differences: the gradient passes through the stabilisers too, as in the release."""
    q, k, v = (t.double().requires_grad_() for t in qkv(cells=1, heads=2, positions=5, dim_head=4))
    features = draw_features(6, 4, key=(1,))

    def output(q, k, v):
        return attend_all(q, k, v, features, block=2)

    assert torch.autograd.gradcheck(
        lambda *t: output(*t).double(), (q, k, v), eps=1e-2, atol=2e-2, rtol=2e-2
    )


def test_weights_reproduce_the_attention():
    q, k, v = qkv(cells=2)
    features = draw_features(44, 16, key=(0,))
    keys = favor.merge_keys([favor.summarise_keys(k, v, features)])
    weights = favor.attention_weights(q, k, keys, features)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 37), atol=1e-5, rtol=1e-5)
    same = v[:, :1].expand_as(v)  # with one value matrix for all heads, their mean can be checked
    keys = favor.merge_keys([favor.summarise_keys(k, same, features)])
    mean_over_heads = favor.attend(q, keys, features).mean(1)
    torch.testing.assert_close(weights @ v[:, 0], mean_over_heads, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("limit", "a_position"), [("BYTES", 4 * 96), ("PHI", 16)])
@pytest.mark.parametrize(("size", "widths"), [(14, {7, 5}), (1, {1}), (1_000, {33})])
def test_a_layer_gives_the_same_in_blocks(monkeypatch, limit, a_position, size, widths):
    """``size`` counts the positions of all cells, here two."""
    layer = PerformerLayer(PerformerConfig(dim=24, depth=1, heads=2, dim_head=8), key=(0, 0)).eval()
    layer.attention.redraw(0)
    x = torch.randn(2, 33, 24, generator=torch.Generator().manual_seed(0))
    whole = layer(x)
    monkeypatch.setattr(f"sclong_core.nn.performer._CPU_BLOCK_{limit}", size * a_position)
    assert {block.shape[1] for block in layer.blocks(x)} == widths
    torch.testing.assert_close(layer(x), whole, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), whole, atol=1e-5, rtol=1e-5)
