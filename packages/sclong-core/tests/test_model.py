import dataclasses

import numpy as np
import pytest
import torch

from sclong_core import ConfigError, GeneGraph, PerformerConfig, ScLong, ScLongConfig

GENES = 40
SIDE = PerformerConfig(dim=16, depth=1, heads=2, dim_head=8)
CONFIG = ScLongConfig(
    genes=GENES,
    dim=16,
    high_genes=10,
    large=PerformerConfig(dim=24, depth=2, heads=2, dim_head=8),
    mini=SIDE,
    full=SIDE,
)
GRAPH = GeneGraph(GENES, np.stack([np.arange(GENES)] * 2), np.ones(GENES, dtype=np.float32))


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return ScLong(CONFIG, graph=GRAPH).eval()


def expression(cells=3, seed=0, genes=GENES):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(cells, genes, generator=generator) * 6
    return values * (torch.rand(cells, genes, generator=generator) < 0.5)


def test_1b_has_the_papers_parameters():
    empty = GeneGraph(27_874, np.zeros((2, 0), np.int64), np.zeros(0, np.float32))
    with torch.device("meta"):
        model = ScLong(ScLongConfig.preset("1b"), graph=empty)
    count = {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()
    }
    assert sum(p.numel() for p in model.parameters()) == 1_006_086_461
    assert count["large"] == 991_441_920
    assert count["mini"] == count["full"] == 1_463_200
    assert model.genes.vectors.numel() == 5_575_000
    assert count["genes"] - 5_575_000 == 5_615_200


def test_output_shapes(model):
    output = model(expression())
    assert output.gene_representations.shape == (3, GENES, 16)
    assert output.reconstruction.shape == (3, GENES)
    assert output.high_indices.shape == (3, 10)


def test_ties_go_to_the_lowest_position_and_masked_values_rank_last(model):
    values = torch.zeros(1, GENES)
    values[0, [7, 3]] = torch.tensor([2.0, 1.0])
    assert model(values).high_indices.tolist() == [[7, 3, 0, 1, 2, 4, 5, 6, 8, 9]]
    masked = torch.zeros(1, GENES, dtype=torch.bool)
    masked[0, [7, 0]] = True
    assert model(values, masked).high_indices.tolist() == [[3, 1, 2, 4, 5, 6, 8, 9, 10, 11]]


def test_a_masked_value_is_hidden(model):
    values, masked = expression(1), torch.zeros(1, GENES, dtype=torch.bool)
    masked[0, :5] = True
    changed = values.clone()
    changed[0, :5] += 3
    for ours, other in zip(model(values, masked), model(changed, masked), strict=True):
        assert torch.equal(ours, other)


def test_masked_differs_from_zero(model):
    values, masked = expression(1), torch.zeros(1, GENES, dtype=torch.bool)
    masked[0, int(values.argmax())] = True
    zero = model(values.masked_fill(masked, 0)).reconstruction
    assert not torch.allclose(model(values, masked).reconstruction, zero)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_cell_does_not_depend_on_its_batch(model, batch):
    values = expression(5)
    together = model(values).gene_representations
    parts = [model(part).gene_representations for part in values.split(batch)]
    torch.testing.assert_close(torch.cat(parts), together, atol=1e-5, rtol=0)


def test_calls_do_not_change_the_model(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = model(expression())
    second = model(expression())
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


def test_redraw_is_a_pure_function_of_its_index(model):
    start = {name: t.clone() for name, t in model.named_buffers() if name.endswith("features")}
    model.redraw_features(3)
    third = {name: t.clone() for name, t in model.named_buffers() if name.endswith("features")}
    assert int(model.redraw_index) == 3
    assert all(not torch.equal(start[name], third[name]) for name in start)
    assert len({tuple(t.flatten().tolist()[:4]) for t in third.values()}) == len(third)
    model.redraw_features(0)
    assert all(torch.equal(start[name], dict(model.named_buffers())[name]) for name in start)


def test_activation_checkpointing_gives_the_same_gradients(model):
    model.train()
    gradients = []
    for checkpointing in (False, True):
        for encoder in model.encoders().values():
            encoder.activation_checkpointing = checkpointing
        model.zero_grad()
        model(expression()).reconstruction.square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_every_parameter_learns(model):
    masked = torch.rand(3, GENES, generator=torch.Generator().manual_seed(1)) < 0.2
    output = model.train()(expression(), masked)
    output.reconstruction.square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_bfloat16_keeps_representations(model):
    exact = model(expression()).gene_representations
    half = model.set_dtype(torch.bfloat16)(expression()).gene_representations
    assert model.dtype == torch.bfloat16
    assert half.dtype == torch.float32
    assert torch.cosine_similarity(exact, half, dim=-1).min() > 0.999


def test_float16_is_refused_with_its_reason(model):
    with pytest.raises(ConfigError, match="overflows in FAVOR"):
        model.set_dtype(torch.float16)


def test_without_low_expression_encoder_other_genes_get_the_mean():
    model = ScLong(dataclasses.replace(CONFIG, low_expression="none"), graph=GRAPH).eval()
    assert not hasattr(model, "mini")
    output = model(expression())
    for cell, high in zip(output.gene_representations, output.high_indices, strict=True):
        low = torch.ones(GENES, dtype=torch.bool)
        low[high] = False
        mean = cell[high].mean(0).expand(int(low.sum()), -1)
        torch.testing.assert_close(cell[low], mean, atol=1e-5, rtol=1e-5)


def test_random_low_expression_encoder_is_standard_normal():
    first, second = (
        ScLong(dataclasses.replace(CONFIG, low_expression="random"), graph=GRAPH) for _ in range(2)
    )
    values = torch.cat([p.detach().flatten() for p in first.mini.parameters()])
    assert abs(float(values.mean())) < 0.05
    assert abs(float(values.std()) - 1) < 0.05
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.mini.parameters(), second.mini.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs a gene graph"),
        ({"graph": GeneGraph(3, GRAPH.edge_index[:, :3], GRAPH.edge_weight[:3])}, "has 3 genes"),
        ({"graph": GRAPH, "gene_vectors": np.zeros((GENES, 3), np.float32)}, "gene vectors are"),
    ],
)
def test_parts_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ScLong(CONFIG, **arguments)
