import dataclasses

import numpy as np
import pytest
import torch
from torch_geometric.nn import SGConv

from sclong_core import GeneGraph, PerformerConfig, ScLongConfig
from sclong_core.nn.embedding import ExpressionEmbedding, GeneEmbedding

SIDE = PerformerConfig(dim=12, depth=1, heads=2, dim_head=4)
CONFIG = ScLongConfig(genes=30, dim=12, high_genes=6, large=SIDE, mini=SIDE, full=SIDE)


def random_graph(genes=30, edges=120, seed=0):
    generator = np.random.default_rng(seed)
    flat = generator.choice(genes * genes, edges, replace=False)
    index = np.stack([flat // genes, flat % genes])
    return GeneGraph(genes, index, generator.uniform(0.1, 1, edges).astype(np.float32))


def test_graph_convolution_equals_pyg():
    graph = random_graph()
    embedding = GeneEmbedding(CONFIG, None)
    embedding.set_graph(graph)
    reference = SGConv(12, 12, K=1, add_self_loops=False)
    reference.lin.load_state_dict(embedding.graph_linear.state_dict())
    vectors = embedding.graph_vectors.detach().clone().requires_grad_()
    edges, weights = torch.tensor(graph.edge_index), torch.tensor(graph.edge_weight)
    expected = embedding.vectors + reference(vectors, edges, weights)
    ours = embedding()
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    ours.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(embedding.graph_vectors.grad, vectors.grad, atol=1e-4, rtol=1e-4)


def test_pad_row_starts_at_zero_and_both_tables_from_the_vectors():
    vectors = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    embedding = GeneEmbedding(CONFIG, vectors)
    for table in (embedding.vectors, embedding.graph_vectors):
        np.testing.assert_array_equal(table[:-1].detach().numpy(), vectors)
        assert not table[-1].any()
    assert embedding.vectors is not embedding.graph_vectors


def test_random_edge_weights_replace_the_given_ones_and_depend_on_the_seed():
    outputs = []
    for seed in (1, 1, 2, None):
        embedding = GeneEmbedding(CONFIG, np.ones((30, 12), dtype=np.float32))
        embedding.set_graph(random_graph(), random_weights=seed)
        outputs.append(embedding.weights)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[3])


def test_without_graph_the_genes_are_their_table():
    embedding = GeneEmbedding(dataclasses.replace(CONFIG, graph="none"), None)
    assert dict(embedding.named_parameters()).keys() == {"vectors"}
    assert embedding() is embedding.vectors


@pytest.mark.parametrize("norm", [0.5, 3.0])
def test_mask_vector_is_clipped_like_an_embedding_with_a_maximum_norm(norm):
    embedding = ExpressionEmbedding(CONFIG).train()
    with torch.no_grad():
        embedding.mask.mul_(norm / embedding.mask.norm())
    table = torch.nn.Embedding(1, 12, max_norm=1.0)
    with torch.no_grad():
        table.weight.copy_(embedding.mask)
    values, masked = torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool)
    ours = embedding(values, masked)
    reference = embedding.norm(table(torch.zeros(1, 1, dtype=torch.long)))
    torch.testing.assert_close(ours, reference)
    ours[..., 0].sum().backward(retain_graph=True)
    reference[..., 0].sum().backward()
    torch.testing.assert_close(embedding.mask.grad, table.weight.grad)
    torch.testing.assert_close(embedding.mask.data, table.weight.data)


def test_evaluation_does_not_change_the_mask_vector():
    embedding = ExpressionEmbedding(CONFIG).eval()
    with torch.no_grad():
        embedding.mask.mul_(5 / embedding.mask.norm())
    before = embedding.mask.detach().clone()
    embedding(torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool))
    assert torch.equal(embedding.mask, before)
