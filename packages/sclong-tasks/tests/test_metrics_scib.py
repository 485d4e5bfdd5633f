"""Metrics of embeddings against scib-metrics, where it is installed."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

from sclong_tasks.metrics.clusters import nmi_and_ari
from sclong_tasks.metrics.leiden import nmi_and_ari_of_leiden
from sclong_tasks.metrics.neighbours import (
    clisi,
    connectivity_by_type,
    find_neighbours,
    ilisi,
    lisi,
)
from sclong_tasks.metrics.silhouette import batch_asw_by_type, bras_by_type, cell_type_asw

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages that scib-metrics stands on
scib = pytest.importorskip("scib_metrics")


@pytest.fixture(scope="module")
def cells():
    """Four types in three batches that are a little apart."""
    generator = np.random.default_rng(4)
    types, batches = np.repeat(["B", "DC", "NK", "T"], 75), np.tile(["x", "y", "z"], 100)
    middles = {kind: generator.normal(size=8) * 1.6 for kind in np.unique(types)}
    moves = {name: generator.normal(size=8) * 0.5 for name in np.unique(batches)}
    places = [middles[kind] + moves[name] for kind, name in zip(types, batches, strict=True)]
    return np.array(places) + generator.normal(size=(300, 8)), batches, types


def theirs(embedding, neighbours):
    distances, near = NearestNeighbors(n_neighbors=neighbours).fit(embedding).kneighbors(embedding)
    return scib.nearest_neighbors.NeighborsResults(indices=near, distances=distances)


def mean(values):
    return np.mean(list(values.values()))


def test_silhouettes_are_those_of_scib(cells):
    embedding, batches, types = cells
    expected = scib.silhouette_batch(embedding, types, batches)
    assert mean(batch_asw_by_type(embedding, batches, types)) == pytest.approx(expected, abs=1e-4)
    expected = scib.silhouette_label(embedding, types)
    assert cell_type_asw(embedding, types) == pytest.approx(expected, abs=1e-4)
    expected = scib.bras(embedding, types, batches)
    assert mean(bras_by_type(embedding, batches, types)) == pytest.approx(expected, abs=1e-4)


def test_lisi_is_that_of_scib(cells):
    embedding, batches, types = cells
    found, other = find_neighbours(embedding, 90), theirs(embedding, 90)
    np.testing.assert_allclose(lisi(found, batches), scib.lisi_knn(other, batches), rtol=2e-3)
    assert ilisi(found, batches) == pytest.approx(scib.ilisi_knn(other, batches), abs=2e-3)
    assert clisi(found, types) == pytest.approx(scib.clisi_knn(other, types), abs=2e-3)


def test_graph_connectivity_is_that_of_scib_on_the_same_graph(cells):
    embedding, _, types = cells
    graph = theirs(embedding, 5).knn_graph_distances
    both = SimpleNamespace(knn_graph_distances=csr_matrix(graph + graph.T))
    found = connectivity_by_type(find_neighbours(embedding, 5), types, 5)
    assert mean(found) == pytest.approx(scib.graph_connectivity(both, types))


def test_clusters_agree_with_types_as_those_of_scib_do(cells):
    embedding, _, types = cells
    # k-means ends where it started from: ours, the best of three starts, is no worse.
    expected = scib.nmi_ari_cluster_labels_kmeans(embedding, types)
    assert nmi_and_ari(embedding, types)[0] > expected["nmi"] - 0.02
    expected = scib.nmi_ari_cluster_labels_leiden(theirs(embedding, 15), types)
    found = nmi_and_ari_of_leiden(find_neighbours(embedding, 15), types)
    assert found == pytest.approx((expected["nmi"], expected["ari"]), abs=0.08)
