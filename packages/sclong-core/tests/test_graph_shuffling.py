"""Shuffled edges: as many from and to each gene, the same weights at each target, other genes."""

import numpy as np
import pytest

from sclong_core import GeneGraph
from sclong_core.graph import shuffle_edges


def made(genes=200, edges=1500, seed=0, *, loops=True):
    generator = np.random.default_rng(seed)
    keys = np.unique(generator.integers(0, genes * genes, edges))
    keys = keys[keys // genes != keys % genes]
    if loops:
        keys = np.unique(np.concatenate([keys, np.arange(genes) * (genes + 1)]))
    weights = generator.uniform(0.1, 1, len(keys)).astype(np.float32)
    return GeneGraph(genes, np.stack([keys // genes, keys % genes]), weights)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_degrees_and_weights_of_targets_are_kept(seed):
    graph = made(seed=seed)
    found = shuffle_edges(graph, seed)
    for side in (0, 1):
        before, after = (np.bincount(one.edge_index[side], minlength=200) for one in (graph, found))
        assert np.array_equal(before, after)
    for gene in range(200):
        before, after = (
            sorted(one.edge_weight[one.edge_index[1] == gene]) for one in (graph, found)
        )
        assert before == after


def test_edges_lead_to_other_genes_and_loops_stay():
    graph = made()
    found = shuffle_edges(graph, 0)
    before, after = (set(map(tuple, one.edge_index.T.tolist())) for one in (graph, found))
    loops = {(gene, gene) for gene in range(200)}
    assert loops <= after
    kept = len((before & after) - loops) / len(before - loops)
    chance = len(before - loops) / 200**2
    assert kept < 3 * chance
    assert {a for a, b in after if a == b} == set(range(200))


def test_the_seed_decides_and_the_graph_is_left_as_it_is():
    graph = made()
    digest = graph.digest
    assert shuffle_edges(graph, 3).digest == shuffle_edges(graph, 3).digest
    assert shuffle_edges(graph, 3).digest != shuffle_edges(graph, 4).digest
    assert graph.digest == digest


def test_graphs_where_nothing_can_be_swapped():
    empty = made(genes=5, edges=0, loops=False)
    assert shuffle_edges(empty, 0).digest == empty.digest
    index = np.stack(np.meshgrid(np.arange(6), np.arange(6))).reshape(2, -1)
    full = GeneGraph(6, index.astype(np.int64), np.ones(36, np.float32))
    assert shuffle_edges(full, 0).digest == full.digest
    single = GeneGraph(4, np.array([[0], [2]]), np.ones(1, np.float32))
    assert shuffle_edges(single, 0).digest == single.digest
