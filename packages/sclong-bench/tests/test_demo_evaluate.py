import numpy as np
import pytest
import torch

from sclong_bench.demo.evaluate import (
    cell_type_accuracy,
    embed,
    gene_means,
    held_out_masks,
    principal_components,
    umap,
)
from sclong_bench.demo.results import (
    CELL_MEAN,
    GENE_AND_CELL,
    GENE_MEAN,
    LARGEST_TYPE,
    PCA,
    SCLONG,
    values_of,
)
from sclong_core import ScLong


def reference_r2(true, predicted):
    return 1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum()


@pytest.fixture(scope="module")
def held_out(small_demo):
    data = small_demo.outcome.data
    numbers = np.flatnonzero(~data.training)
    return data.expression[numbers], numbers


def test_scores_are_those_of_the_checkpoint_and_of_plain_averages(
    small_demo, small_settings, held_out
):
    """Reference: the definition of R2, and averages written out cell by cell."""
    values, numbers = held_out
    data, rows = small_demo.outcome.data, small_demo.outcome.rows
    means = gene_means(data.expression[data.training])
    model = ScLong.from_pretrained(small_demo.folder / "model", device="cpu")
    for draw in range(small_settings.masks):
        hidden = held_out_masks(values, numbers, small_settings, draw)
        with torch.inference_mode():
            told = model(torch.from_numpy(values), torch.from_numpy(hidden)).reconstruction.numpy()
        by_cell, by_both = np.empty_like(values), np.empty_like(values)
        for row, (cell, away) in enumerate(zip(values, hidden, strict=True)):
            seen = (cell > 0) & ~away
            by_cell[row] = cell[seen].mean()
            by_both[row] = means + (cell - means)[seen].mean()
        predictions = {
            SCLONG: told,
            CELL_MEAN: by_cell,
            GENE_AND_CELL: by_both,
            GENE_MEAN: np.broadcast_to(means, values.shape),
        }
        for method, predicted in predictions.items():
            expected = reference_r2(values[hidden], predicted[hidden])
            assert values_of(rows, "r2", method)[draw] == pytest.approx(expected, abs=1e-4), method


def test_hidden_values_are_non_zero_and_differ_between_draws(held_out, small_settings):
    values, numbers = held_out
    first, second = (held_out_masks(values, numbers, small_settings, draw) for draw in (0, 1))
    assert (values[first] > 0).all()
    shares = first.sum(axis=1) / (values > 0).sum(axis=1)
    assert (shares >= 0.15).all()
    assert (first != second).any()


def test_the_embedding_is_that_of_the_written_checkpoint(small_demo):
    cells = small_demo.outcome.data.cells
    embedded = embed(small_demo.folder / "model", cells)
    assert embedded.shape == (cells.n_obs, 64)
    assert embedded.dtype == np.float32
    assert np.allclose(
        embed(small_demo.folder / "model", cells[:3].copy()), embedded[:3], atol=1e-5
    )


def test_principal_components_keep_distances():
    points = np.random.default_rng(0).random((20, 6)).astype(np.float32)
    found = principal_components(points, 6)
    assert np.allclose(np.linalg.norm(found[0] - found[1]), np.linalg.norm(points[0] - points[1]))


def test_types_that_lie_apart_are_told(small_settings):
    kinds = np.repeat(["a", "b"], [60, 40])
    apart = np.where(kinds == "a", 0.0, 9.0)[:, None].astype(np.float32)
    mixed = np.random.default_rng(0).random((100, 1)).astype(np.float32)
    rows = list(cell_type_accuracy({SCLONG: apart, PCA: mixed}, kinds, small_settings))
    assert values_of(rows, "accuracy", SCLONG) == (1.0,) * small_settings.splits
    assert max(values_of(rows, "accuracy", PCA)) < 0.9
    assert values_of(rows, "accuracy", LARGEST_TYPE) == (0.6,) * small_settings.splits


def test_a_map_is_the_same_again(small_settings):
    points = np.random.default_rng(0).random((60, 5)).astype(np.float32)
    first, second = umap(points, small_settings), umap(points, small_settings)
    assert first.shape == (60, 2)
    assert np.isfinite(first).all()
    assert np.array_equal(first, second)


def test_drawing_a_map_leaves_the_threads_of_the_model_alone(small_settings):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        umap(np.random.default_rng(0).random((60, 5)).astype(np.float32), small_settings)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_gene_that_is_never_expressed_gets_the_mean_of_all():
    values = np.array([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]], dtype=np.float32)
    assert gene_means(values).tolist() == [2.0, 2.0, 2.0]
