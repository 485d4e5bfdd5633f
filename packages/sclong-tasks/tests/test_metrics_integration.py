"""Metrics of embeddings: against scikit-learn, against loops by hand, and where undefined."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples

from sclong_core.errors import InputError
from sclong_tasks.metrics.clusters import kmeans_clusters, nmi_and_ari
from sclong_tasks.metrics.embedding import checked_embedding, is_constant
from sclong_tasks.metrics.neighbours import (
    _weights,
    cilisi_by_type,
    clisi,
    connectivity_by_type,
    find_neighbours,
    ilisi,
    lisi,
)
from sclong_tasks.metrics.silhouette import (
    batch_asw_by_type,
    bras_by_type,
    cell_type_asw,
    silhouette_values,
)


@pytest.fixture
def cells():
    """Embedding, batches and types: types apart, batches a little apart."""
    generator = np.random.default_rng(0)
    types, batches = np.repeat(["B", "NK", "T"], 40), np.tile(["x", "y"], 60)
    shift = 4 * (types == "T") - 4 * (types == "B") + 0.7 * (batches == "x")
    return generator.normal(size=(120, 5)) + shift[:, None], batches, types


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_silhouettes_are_those_of_scikit_learn(cells, distance):
    embedding, batches, types = cells
    for labels in (batches, types, [*["alone"], *types[1:]]):
        mine = silhouette_values(embedding, labels, distance=distance)
        np.testing.assert_allclose(
            mine, silhouette_samples(embedding, labels, metric=distance), atol=1e-10
        )


def test_blocks_of_distances_change_nothing(cells, monkeypatch):
    embedding, batches, _ = cells
    whole = silhouette_values(embedding, batches)
    monkeypatch.setattr("sclong_tasks.metrics.silhouette._MEMORY_MIB", 0.01)
    np.testing.assert_allclose(silhouette_values(embedding, batches), whole, atol=1e-12)


def test_batch_and_cell_type_asw_by_the_formula(cells):
    embedding, batches, types = cells
    expected = {
        name: (1 - abs(silhouette_samples(embedding[types == name], batches[types == name]))).mean()
        for name in ("B", "NK", "T")
    }
    assert batch_asw_by_type(embedding, batches, types) == pytest.approx(expected)
    widths = silhouette_samples(embedding, types)
    assert cell_type_asw(embedding, types) == pytest.approx((widths.mean() + 1) / 2)


def test_bras_by_a_loop(cells):
    embedding, batches, types = cells
    batches = np.where(np.arange(120) % 5 == 0, "z", batches)
    values = []
    here = types == "NK"
    table, batch = cdist(embedding[here], embedding[here], "cosine"), batches[here]
    for row in range(here.sum()):
        own = batch == batch[row]
        other = table[row, ~own].mean()
        within = table[row, own].sum() / (own.sum() - 1)
        values.append(1 - abs(other - within) / max(other, within))
    assert bras_by_type(embedding, batches, types)["NK"] == pytest.approx(np.mean(values))


def test_hand_computed_silhouettes():
    # a = 1 and b = 3 for both inner cells' batches at 0, 1 and 3, 4
    widths = silhouette_values([[0.0], [1.0], [3.0], [4.0]], ["x", "x", "y", "y"])
    np.testing.assert_allclose(widths, [2.5 / 3.5, 1.5 / 2.5, 1.5 / 2.5, 2.5 / 3.5])


def test_connectivity_by_hand():
    # T: three cells together and one far away beyond the B cells
    places = [[0.0], [1.0], [2.0], [100.0], [97.0], [98.0], [99.0], [96.0]]
    types = ["T", "T", "T", "T", "B", "B", "B", "B"]
    found = find_neighbours(places, 3)
    assert connectivity_by_type(found, types, 3) == {"B": 1.0, "T": 0.75}


def test_lisi_by_a_loop(cells):
    embedding, batches, _ = cells
    found = find_neighbours(embedding, 30)
    weights = _weights(found.distances_nk)
    np.testing.assert_allclose(
        np.exp(-(weights * np.log(np.maximum(weights, 1e-300))).sum(1)), 10, rtol=1e-6
    )
    for row in (0, 17, 119):
        distances = np.sort(np.delete(cdist(embedding[[row]], embedding)[0], row))[:29]
        np.testing.assert_allclose(found.distances_nk[row], distances)
        mixed = sum(
            weights[row, batches[found.cells_nk[row]] == name].sum() ** 2 for name in ("x", "y")
        )
        assert lisi(found, batches)[row] == pytest.approx(1 / mixed)


def test_lisi_of_neighbours_at_one_distance_is_the_inverse_simpson_index():
    corners = np.eye(12)
    labels = ["x"] * 6 + ["y"] * 6
    found = find_neighbours(corners, 90)
    np.testing.assert_allclose(lisi(found, labels), 1 / ((5 / 11) ** 2 + (6 / 11) ** 2))


def test_mixing_and_separation_have_their_ends():
    generator = np.random.default_rng(1)
    types = np.repeat(["B", "T"], 200)
    batches = np.tile(["x", "y"], 200)
    apart = np.c_[(types == "T") * 100.0, generator.normal(size=400)]
    found = find_neighbours(apart, 90)
    assert clisi(found, types) == pytest.approx(1)
    assert ilisi(found, batches) > 0.85
    assert min(cilisi_by_type(apart, batches, types).values()) > 0.85
    by_batch = np.c_[(batches == "x") * 100.0, generator.normal(size=400)]
    assert ilisi(find_neighbours(by_batch, 90), batches) == pytest.approx(0)
    assert max(cilisi_by_type(by_batch, batches, types).values()) == pytest.approx(0)
    assert nmi_and_ari(apart, types) == pytest.approx((1, 1))
    assert nmi_and_ari(by_batch, types) == pytest.approx((0, 0), abs=0.02)


def test_cilisi_does_not_reward_types_that_hold_different_batches(cells):
    embedding, _, types = cells
    assert cilisi_by_type(embedding, types, types) == {}


def test_distances_count_by_their_ratios(cells):
    embedding, batches, _ = cells
    small = lisi(find_neighbours(embedding * 1e-9, 30), batches)
    np.testing.assert_allclose(small, lisi(find_neighbours(embedding, 30), batches), rtol=1e-6)


def test_one_batch_or_one_cell_type_is_undefined(cells):
    embedding, batches, types = cells
    one = np.full(120, "only")
    assert batch_asw_by_type(embedding, one, types) == {}
    assert bras_by_type(embedding, one, types) == {}
    assert cilisi_by_type(embedding, one, types) == {}
    found = find_neighbours(embedding, 90)
    undefined = [ilisi(found, one), clisi(found, one), cell_type_asw(embedding, one)]
    assert np.isnan([*undefined, *nmi_and_ari(embedding, one)]).all()
    assert set(batch_asw_by_type(embedding, batches, one)) == {"only"}
    assert np.isnan(silhouette_values(embedding, one)).all()


def test_a_type_whose_cells_all_have_their_own_batch_is_left_out():
    types, batches = ["B"] * 3 + ["T"] * 4, ["x", "y", "z", "x", "x", "y", "y"]
    embedding = np.arange(7.0)[:, None]
    assert set(batch_asw_by_type(embedding, batches, types)) == {"T"}
    assert cilisi_by_type(embedding, batches, types) == {}  # fewer than six cells of each


def test_fewer_cells_than_neighbours_and_than_clusters(cells):
    embedding, types = cells[0][::10], cells[2][::10]
    found = find_neighbours(embedding, 90)
    assert found.cells_nk.shape == (12, 11)
    assert 0 <= clisi(found, types) <= 1
    assert find_neighbours(embedding[:1], 90) is None
    assert len(set(kmeans_clusters(embedding[:2], 5))) == 2


def test_cells_in_one_place_have_no_neighbours(cells):
    _, batches, types = cells
    constant = np.ones((120, 3))
    assert is_constant(constant)
    assert find_neighbours(constant, 15) is None
    assert connectivity_by_type(None, types) == {}
    assert cilisi_by_type(constant, batches, types) == {}
    assert np.isnan([ilisi(None, batches), clisi(None, types)]).all()
    # Silhouettes are 0 where distances are: batch ASW gives its best value to no information.
    assert set(batch_asw_by_type(constant, batches, types).values()) == {1.0}
    assert cell_type_asw(constant, types) == 0.5
    assert nmi_and_ari(constant, types) == (0.0, 0.0)


def test_values_that_are_no_numbers_are_refused(cells):
    embedding, batches, types = cells
    embedding[7, 1] = np.nan
    for function in (
        lambda: silhouette_values(embedding, types),
        lambda: find_neighbours(embedding, 15),
        lambda: nmi_and_ari(embedding, types),
        lambda: cilisi_by_type(embedding, batches, types),
    ):
        with pytest.raises(InputError, match="row 7 is the first"):
            function()
    with pytest.raises(InputError, match="does not fit"):
        checked_embedding(embedding[:3], types)


@pytest.mark.parametrize("seed", [0, 1])
def test_clusters_repeat_with_their_seed(cells, seed):
    embedding, _, types = cells
    assert nmi_and_ari(embedding, types, seed=seed) == nmi_and_ari(embedding, types, seed=seed)
