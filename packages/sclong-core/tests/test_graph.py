import numpy as np
import pytest

from sclong_core import GeneGraph, InputError


def graph(edges, weights, genes=4):
    return GeneGraph(genes, np.array(edges, dtype=np.int64).T, np.array(weights, dtype=np.float32))


def test_file_round_trip(tmp_path):
    written = graph([(0, 1), (1, 0), (2, 2)], [0.5, 0.25, 1.0])
    written.write(tmp_path / "graph.npz")
    read = GeneGraph.read(tmp_path / "graph.npz")
    assert read.digest == written.digest
    np.testing.assert_array_equal(read.edge_index, written.edge_index)
    np.testing.assert_array_equal(read.edge_weight, written.edge_weight)


def test_digest_ignores_the_order_of_edges_and_nothing_else():
    edges, weights = [(0, 1), (1, 0), (2, 2)], [0.5, 0.25, 1.0]
    digest = graph(edges, weights).digest
    assert graph(edges[::-1], weights[::-1]).digest == digest
    assert graph(edges, weights[::-1]).digest != digest
    assert graph([(0, 1), (1, 0), (2, 3)], weights).digest != digest
    assert graph(edges, weights, genes=5).digest != digest


@pytest.mark.parametrize(
    ("edges", "weights", "message"),
    [
        ([(0, 4)], [1.0], "outside its 4 genes"),
        ([(-1, 0)], [1.0], "outside its 4 genes"),
        ([(0, 1)], [np.nan], "not positive and finite"),
        ([(0, 1)], [0.0], "not positive and finite"),
        ([(0, 1), (0, 1)], [1.0, 0.5], "same edge twice"),
        ([(0, 1)], [1.0, 0.5], "needs edges"),
    ],
)
def test_what_is_no_graph_is_refused(edges, weights, message):
    with pytest.raises(InputError, match=message):
        graph(edges, weights)


def test_objects_in_a_file_are_never_unpickled(tmp_path):
    path = tmp_path / "graph.npz"
    np.savez(
        path, genes=4, edge_index=np.array([{}], dtype=object), edge_weight=np.ones(1, np.float32)
    )
    with pytest.raises(InputError, match="not a gene graph"):
        GeneGraph.read(path)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "graph.npz"
    graph([(0, 1)], [1.0]).write(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="not a gene graph"):
        GeneGraph.read(path)


def test_edges_cannot_be_changed_behind_the_digest():
    with pytest.raises(ValueError, match="read-only"):
        graph([(0, 1)], [1.0]).edge_weight[0] = 2.0
