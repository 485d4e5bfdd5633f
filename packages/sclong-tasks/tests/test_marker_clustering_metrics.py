"""Similarity, matched sets and clusters against plain loops and the libraries that define them."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.stats import hypergeom
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from sclong_tasks.marker_clustering.metrics import (
    Sizes,
    cluster_enrichment,
    clustered_order,
    cumulative_similarity,
    gene_clusters,
    matched_sets,
    measure_type,
    retrieval,
    share_reached,
    top_genes,
    unit_vectors,
    within,
)

GENES, DIM = 40, 6
MARKERS = np.array([3, 9, 20, 31])


def vectors(seed=0):
    return np.random.default_rng(seed).normal(size=(GENES, DIM))


def test_cosines_without_their_matrix_are_those_of_scikit_learn():
    values = vectors()
    expected = cosine_similarity(values)
    units = unit_vectors(values)
    np.testing.assert_allclose(cumulative_similarity(units), expected.sum(0))
    assert top_genes(units, 5).tolist() == np.argsort(-expected.sum(0))[:5].tolist()
    pairs = expected[np.ix_(MARKERS, MARKERS)][~np.eye(4, dtype=bool)]
    assert within(units, MARKERS[None])[0] == pytest.approx(pairs.mean())


def test_a_gene_without_direction_is_like_nothing():
    values = vectors()
    values[3] = 0
    units = unit_vectors(values)
    assert np.isfinite(units).all()
    assert cumulative_similarity(units)[3] == 0


def test_random_sets_are_expressed_as_the_markers_are():
    mean = np.random.default_rng(1).permutation(GENES).astype(float)
    sets, pool = matched_sets(mean, MARKERS, draws=200, near=4, seed=0)
    assert sets.shape == (200, 4)
    assert not np.isin(sets, MARKERS).any()
    assert set(np.unique(sets)) <= set(pool)
    assert all(len(set(one)) == 4 for one in sets.tolist())
    # Within four ranks of each marker, or a little more where other markers are nearby.
    assert np.abs(mean[sets] - mean[MARKERS]).max() <= 8
    again, _ = matched_sets(mean, MARKERS, draws=200, near=4, seed=0)
    np.testing.assert_array_equal(sets, again)


def test_p_values_of_random_labels_are_uniform():
    units, mean = unit_vectors(vectors()), np.arange(GENES, dtype=float)
    generator = np.random.default_rng(2)
    found = []
    for seed in range(200):
        markers = generator.choice(GENES, 4, replace=False)
        sets, _ = matched_sets(mean, markers, draws=99, near=GENES, seed=seed)
        found.append(share_reached(float(within(units, markers[None])[0]), within(units, sets)))
    assert 0.4 < np.mean(found) < 0.6
    assert np.mean(np.array(found) <= 0.1) < 0.2


def test_enrichment_of_a_cluster_is_hypergeometric():
    labels = np.repeat([0, 1], [10, 30])
    inside, spread = np.array([0, 1, 2, 3]), np.array([0, 11, 12, 13])
    found = cluster_enrichment(labels, np.array([inside, spread]))
    assert found[0] == pytest.approx(2 * hypergeom.sf(3, 40, 10, 4))
    expected = min(hypergeom.sf(0, 40, 10, 4), hypergeom.sf(2, 40, 30, 4))
    assert found[1] == pytest.approx(min(1, 2 * expected))


def test_retrieval_is_the_mean_area_from_each_marker():
    units, pool = unit_vectors(vectors()), np.arange(5, 30)
    rest = np.setdiff1d(pool, MARKERS)
    areas = []
    for one in MARKERS:
        others = np.concatenate([np.setdiff1d(MARKERS, [one]), rest])
        truth = np.isin(others, MARKERS)
        areas.append(roc_auc_score(truth, units[others] @ units[one]))
    assert retrieval(units, MARKERS, pool) == pytest.approx(np.mean(areas))


def test_clusters_and_orders_are_those_of_the_tree():
    values = np.repeat(np.eye(3), 5, axis=0) + vectors()[:15, :3] * 0.01
    labels = gene_clusters(unit_vectors(values), 3)
    assert [len(set(labels[part : part + 5])) for part in (0, 5, 10)] == [1, 1, 1]
    assert len(set(labels)) == 3
    square = cosine_similarity(values)
    order, tree = clustered_order(square)
    np.testing.assert_allclose(tree, linkage(square, method="average"))
    assert order.tolist() == dendrogram(tree, no_plot=True)["leaves"]
    assert clustered_order(square[:1, :1])[0].tolist() == [0]
    assert gene_clusters(unit_vectors(values[:1]), 3).tolist() == [0]


def test_markers_that_are_alike_stand_out_and_constant_vectors_do_not():
    sizes = Sizes(draws=200, near=10, top=10, clusters=4)
    mean = np.random.default_rng(3).uniform(size=GENES)
    values = vectors()
    values[MARKERS] += 8
    found = measure_type(values, MARKERS, mean, sizes=sizes, seed=0)
    assert found.p_value < 0.01 < found.excess
    assert found.z > 3
    assert found.auroc > 0.95
    assert found.cluster_p < 0.05
    flat = measure_type(np.ones((GENES, DIM)), MARKERS, mean, sizes=sizes, seed=0)
    assert np.isnan(flat.z)
    assert (flat.excess, flat.p_value, flat.auroc) == pytest.approx((0, 1, 0.5))
