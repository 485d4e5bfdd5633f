"""Leiden's clusters: against igraph's own modularity, at planted types, and where undefined."""

import random

import numpy as np
import pytest

from sclong_tasks.metrics.leiden import RESOLUTIONS, leiden_clusters, nmi_and_ari_of_leiden
from sclong_tasks.metrics.neighbours import find_neighbours

igraph = pytest.importorskip("igraph")


@pytest.fixture
def planted():
    generator = np.random.default_rng(0)
    types = np.repeat(["B", "NK", "T"], 40)
    places = generator.normal(size=(120, 4))
    places[types == "NK", 0] += 9
    places[types == "T", 1] += 9
    return find_neighbours(places, 15), types


def test_planted_types_are_found_and_no_random_ones(planted):
    found, types = planted
    assert nmi_and_ari_of_leiden(found, types) == pytest.approx((1, 1))
    other = np.random.default_rng(1).permutation(types)
    assert max(nmi_and_ari_of_leiden(found, other)) < 0.2


def test_clusters_have_the_modularity_that_igraph_finds_itself(planted):
    found, _ = planted
    table = np.zeros((120, 120))
    for cell, near in enumerate(found.cells_nk):
        table[cell, near] += 1
    graph = igraph.Graph.Weighted_Adjacency((table + table.T).tolist(), mode="max")
    mine = graph.modularity(leiden_clusters(found).tolist(), weights="weight")
    theirs = graph.community_leiden("modularity", weights="weight", n_iterations=-1)
    assert mine == pytest.approx(theirs.modularity, abs=0.01)


def test_clusters_repeat_with_their_seed_and_leave_the_generator_alone(planted):
    found, _ = planted
    before = random.getstate()
    first = leiden_clusters(found, 1.5, seed=4)
    np.testing.assert_array_equal(leiden_clusters(found, 1.5, seed=4), first)
    assert random.getstate() == before
    assert len(set(leiden_clusters(found, 0.1))) <= len(set(leiden_clusters(found, 2.0)))


def test_the_best_resolution_is_taken(planted):
    found, types = planted
    best = nmi_and_ari_of_leiden(found, types)[0]
    assert best >= max(
        nmi_and_ari_of_leiden(found, types, resolutions=[one])[0] for one in RESOLUTIONS[::6]
    )


def test_one_type_and_one_place_are_undefined(planted):
    found, types = planted
    assert np.isnan(nmi_and_ari_of_leiden(None, types)).all()
    assert np.isnan(nmi_and_ari_of_leiden(found, ["T"] * 120)).all()
