"""The fused kernels, run by Triton's interpreter: the formula, its gradients, and the choice."""

import os

import numpy as np
import pytest
import torch

from sclong_core import ConfigError, PerformerConfig, ScLong, ScLongConfig
from sclong_core.cli.main import main
from sclong_core.graph import GeneGraph
from sclong_core.nn import attention as favor
from sclong_core.nn import kernels
from sclong_core.nn.features import EPSILON, draw_features
from sclong_core.nn.performer import PerformerLayer

needs_triton = pytest.mark.skipif(
    kernels.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs Triton (sclong-core[gpu]) and TRITON_INTERPRET=1",
)

SHAPES = {
    "positions that fill no block": (2, 2, 37, 16, 44),
    "the paper's heads over three chunks": (1, 1, 130, 64, 266),
    "many heads, one position too many": (1, 5, 65, 8, 9),
    "one position": (1, 1, 1, 5, 7),
}
"""Cells, heads, positions, width of a head, features."""


@pytest.fixture
def fused():
    from sclong_core.nn import fused  # noqa: PLC0415  # needs Triton

    return fused


def qkv(cells, heads, positions, width, dtype=torch.float32):
    """As a projection hands them out: heads side by side."""
    generator = torch.Generator().manual_seed(positions)
    made = torch.randn((3, cells, positions, heads, width), generator=generator)
    return [part.to(dtype).transpose(1, 2).requires_grad_() for part in made]


def attend_all(q, k, v, features, parts=1):
    blocks = zip(k.tensor_split(parts, dim=2), v.tensor_split(parts, dim=2), strict=True)
    summaries = [favor._summarise_fused(*block, features) for block in blocks]
    return favor._attend_fused(q, favor.merge_keys(summaries), features)


def formula(q, k, v, features):
    """In the type of its arguments, with every phi written out."""
    scale = features.shape[1] ** -0.25
    q_exponent, k_exponent = (u @ features.T * scale for u in (q, k))
    q_norm, k_norm = (u.square().sum(-1, keepdim=True) / 2 * scale**2 for u in (q, k))
    phi_q = torch.exp(q_exponent - q_norm - q_exponent.amax(-1, keepdim=True)) + EPSILON
    largest = k_exponent.amax(dim=(1, 2, 3), keepdim=True)
    phi_k = torch.exp(k_exponent - k_norm - largest) + EPSILON
    numerator = phi_q @ (phi_k.transpose(-1, -2) @ v)
    return numerator / (phi_q @ phi_k.sum(-2).unsqueeze(-1))


def assert_near(ours, theirs):
    """Equal to 1e-5 of the largest value."""
    ours, theirs = ours.detach().double(), theirs.detach().double()
    largest = max(1.0, float(theirs.abs().max()))
    torch.testing.assert_close(ours, theirs, atol=1e-5 * largest, rtol=0)


@needs_triton
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_output_and_gradients_are_those_of_the_formula_in_float64(shape):
    *sizes, count = shape
    inputs = qkv(*sizes)
    features = draw_features(count, sizes[-1], key=(0,))
    exact_inputs = [part.detach().double().requires_grad_() for part in inputs]
    ours, exact = attend_all(*inputs, features), formula(*exact_inputs, features.double())
    assert_near(ours, exact)
    gradient = torch.randn(ours.shape, generator=torch.Generator().manual_seed(0))
    for our, their in zip(
        torch.autograd.grad(ours, inputs, gradient),
        torch.autograd.grad(exact, exact_inputs, gradient.double()),
        strict=True,
    ):
        assert_near(our, their)


@needs_triton
def test_the_sums_and_the_stabiliser_have_gradients_of_their_own(fused):
    _, k, v = qkv(2, 2, 70, 8)
    projection = draw_features(20, 8, key=(0,))
    ours = fused.fused_keys(k, v, projection)[:3]
    k64, v64 = (part.detach().double().requires_grad_() for part in (k, v))
    exponent = k64 @ projection.double().T
    stabiliser = exponent.amax(dim=(1, 2, 3), keepdim=True)
    norm = torch.exp(k64.square().sum(-1, keepdim=True) / -2 * 8**-0.5)
    psi = torch.exp2(exponent - stabiliser) * norm
    exact = (psi.mT @ v64, psi.sum(-2).unsqueeze(-1), stabiliser)
    for our, their in zip(ours, exact, strict=True):
        assert_near(our, their)
    gradients = [torch.randn(part.shape) for part in ours]
    for our, their in zip(
        torch.autograd.grad(ours, (k, v), gradients),
        torch.autograd.grad(exact, (k64, v64), [part.double() for part in gradients]),
        strict=True,
    ):
        assert_near(our, their)


@needs_triton
@pytest.mark.parametrize("programs", [1, 10_000])
def test_chunks_and_blocks_of_positions_change_nothing(fused, monkeypatch, programs):
    inputs = qkv(1, 2, 200, 8)
    features = draw_features(20, 8, key=(0,))
    whole = attend_all(*inputs, features)
    monkeypatch.setattr(fused, "_PROGRAMS", programs)
    assert_near(attend_all(*inputs, features, parts=3), whole)


@needs_triton
def test_a_cell_does_not_depend_on_its_neighbours_and_large_norms_stay_finite():
    q, k, v = (part.detach() for part in qkv(3, 2, 37, 16))
    k[2] *= 50
    features = draw_features(44, 16, key=(0,))
    together = attend_all(q, k, v, features)
    assert together.isfinite().all()
    for cell in range(3):
        alone = attend_all(*(part[cell : cell + 1] for part in (q, k, v)), features)
        assert torch.equal(alone, together[cell : cell + 1])


@needs_triton
def test_bfloat16_is_close_and_keeps_its_type():
    exact_inputs = qkv(1, 2, 100, 16)
    inputs = [part.detach().bfloat16().requires_grad_() for part in exact_inputs]
    features = draw_features(44, 16, key=(0,))
    ours, exact = attend_all(*inputs, features), formula(*exact_inputs, features)
    gradient = torch.randn(exact.shape, generator=torch.Generator().manual_seed(0))
    found = torch.autograd.grad(ours, inputs, gradient.bfloat16())
    expected = torch.autograd.grad(exact, exact_inputs, gradient)
    for our, their in zip((ours, *found), (exact, *expected), strict=True):
        assert our.dtype == torch.bfloat16
        similarity = torch.cosine_similarity(our.float().flatten(), their.flatten(), dim=0)
        assert similarity > 0.999


@needs_triton
def test_operators_are_what_pytorch_asks_of_them(fused):
    """Shapes and strides without data, nothing changed in place, gradients in the right place."""
    q, k, v = qkv(2, 2, 5, 4)
    projection = draw_features(6, 4, key=(0,))
    tests = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(fused.fused_keys, (k, v, projection), test_utils=tests)
    values, total, *_ = (part.detach() for part in fused.fused_keys(k, v, projection))
    arguments = (q, values.requires_grad_(), total.requires_grad_(), projection)
    torch.library.opcheck(fused.fused_queries, arguments, test_utils=tests)


@needs_triton
def test_a_layer_gives_the_same_in_training():
    config = PerformerConfig(dim=24, depth=1, heads=2, dim_head=8)
    layer = PerformerLayer(config, key=(0, 0))
    layer.attention.redraw(0)
    x = torch.randn(2, 70, 24, generator=torch.Generator().manual_seed(0))
    results = []
    for layer.attention.fused in (False, True):
        output = layer(x)
        results.append((output, *torch.autograd.grad(output.square().sum(), layer.parameters())))
    for ours, theirs in zip(*results, strict=True):
        assert_near(ours, theirs)


def tiny(**changes):
    side = PerformerConfig(dim=16, depth=1, heads=1, dim_head=8)
    large = PerformerConfig(dim=24, depth=1, heads=2, dim_head=8)
    sizes = {"genes": 40, "dim": 16, "expression_hidden": 8, "high_genes": 10}
    config = ScLongConfig(**sizes, large=large, mini=side, full=side, **changes)
    ring = np.stack([np.arange(40), np.roll(np.arange(40), 1)])
    return ScLong(config, graph=GeneGraph(40, ring, np.ones(40, np.float32)))


def cells():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand((2, 40), generator=generator)
    return values * (values > 0.4), torch.rand((2, 40), generator=generator) > 0.8


@needs_triton
@torch.no_grad()
def test_a_model_gives_the_same_and_keeps_nothing_of_the_choice():
    model = tiny().eval()
    expected, state, config = model(*cells()), set(model.state_dict()), model.config.to_dict()
    found = model.set_attention("fused")(*cells())
    assert_near(found.gene_representations, expected.gene_representations)
    assert_near(found.reconstruction, expected.reconstruction)
    assert (set(model.state_dict()), model.config.to_dict()) == (state, config)
    assert torch.equal(model.set_attention("auto")(*cells())[0], expected[0])


class Counted:
    """A backend of torch.compile that counts what it is given: more than one graph is a break."""

    def __init__(self, name):
        self.graphs = 0
        self._compile = torch._dynamo.lookup_backend(name)

    def __call__(self, graph, inputs):
        self.graphs += 1
        return self._compile(graph, inputs)


@pytest.mark.parametrize(
    ("choice", "backend"),
    [("blocks", "eager"), pytest.param("fused", "aot_eager", marks=needs_triton)],
)
def test_compiled_it_is_one_graph_in_embedding_and_in_training(choice, backend):
    """And the gradients are those of any other step."""
    model = tiny().set_attention(choice)
    values, masked = cells()
    torch._dynamo.reset()
    embedding, training = Counted("eager"), Counted(backend)
    with torch.no_grad():
        gene_embedding = model.gene_embedding()
        compiled = torch.compile(model.eval(), backend=embedding)
        representations = compiled(values, gene_embedding=gene_embedding).gene_representations
        assert_near(representations, model(values).gene_representations)
    model.train()
    gradients = []
    for network in (model, torch.compile(model, backend=training)):
        loss = network(values, masked).reconstruction.square().mean()
        gradients.append(torch.autograd.grad(loss, model.parameters(), materialize_grads=True))
    for ours, theirs in zip(*gradients, strict=True):
        assert_near(ours, theirs)
    assert (embedding.graphs, training.graphs) == (1, 1)


def test_an_unknown_choice_is_refused():
    with pytest.raises(ConfigError, match="must be auto, blocks or fused, not 'flash'"):
        tiny().set_attention("flash")


def test_without_triton_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(kernels, "find_spec", lambda _: None)
    assert not tiny().set_attention("auto").large.layers[0].attention.fused
    with pytest.raises(ConfigError, match=r"sclong-core\[gpu\]"):
        tiny().set_attention("fused")


@needs_triton
def test_on_a_cpu_it_is_refused_unless_triton_interprets(monkeypatch):
    model = tiny().set_attention("fused")
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(ConfigError, match="needs a CUDA device, and the model is on cpu"):
        model(*cells())


@needs_triton
def test_a_model_without_favor_refuses_it(tmp_path, capsys):
    """The packaged one, whose encoders read some hundred genes."""
    words = ["embed", str(tmp_path), "-o", str(tmp_path / "out"), "--attention", "fused"]
    (tmp_path / "cells.h5ad").touch()
    assert main(words) != 0
    assert "is for FAVOR+, which this model does not have" in capsys.readouterr().err
