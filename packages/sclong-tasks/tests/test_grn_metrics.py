"""Metrics of ranked edges beside scikit-learn, and BEELINE's and DeepSEM's own ways of counting."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_score

from sclong_core.testing import shared_folder
from sclong_tasks.grn import task
from sclong_tasks.grn.figures import by_factor, precision_recall
from sclong_tasks.grn.metrics import (
    average_precision,
    density,
    early_precision,
    measure,
    rank,
)
from sclong_tasks.grn.reading import read_network, read_weights


def made(rows=400, *, levels=None, seed=0):
    generator = np.random.default_rng(seed)
    edge = (generator.random(rows) < 0.2).astype(float)
    size = np.abs(generator.normal(size=rows) + edge)
    if levels:
        size = np.floor(size * levels) / levels
    return edge, size, np.repeat(np.arange(rows // 20), 20)


@pytest.mark.parametrize("levels", [None, 2, 10])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_average_precision_is_that_of_scikit_learn_with_ties_too(levels, seed):
    edge, size, _ = made(levels=levels, seed=seed)
    assert average_precision(rank(edge, size)) == pytest.approx(average_precision_score(edge, size))


@pytest.mark.parametrize("levels", [None, 2, 10])
def test_candidates_that_are_there_several_times_weigh_as_often(levels):
    edge, size, _ = made(levels=levels)
    ranking = rank(edge, size)
    counts = np.random.default_rng(5).integers(0, 3, len(edge)).astype(float)
    expected = average_precision_score(
        np.repeat(edge, counts.astype(int)), np.repeat(size, counts.astype(int))
    )
    assert average_precision(ranking, counts[ranking.order]) == pytest.approx(expected)


def beeline(edge, size):
    """Early precision as BEELINE defines it, in its own words: a threshold, and what passes it."""
    table = pd.DataFrame({"edge": edge, "size": size}).sort_values("size", ascending=False)
    last = table["size"].iloc[int(edge.sum()) - 1]
    least = table["size"].replace(0, np.nan).min()
    return (size >= max(last, least)).astype(int)


@pytest.mark.parametrize("levels", [None, 2, 10])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_early_precision_is_that_of_beeline(levels, seed):
    edge, size, _ = made(levels=levels, seed=seed)
    expected = precision_score(edge, beeline(edge, size))
    assert early_precision(rank(edge, size)) == pytest.approx(expected)
    size[size < np.quantile(size, 0.95)] = 0  # fewer weights than edges
    expected = precision_score(edge, beeline(edge, size))
    assert early_precision(rank(edge, size)) == pytest.approx(expected)


def test_early_precision_by_order_takes_exactly_as_many():
    edge, size = np.array([0, 1, 1, 0.0]), np.array([2, 1, 1, 1.0])
    assert early_precision(rank(edge, size), ties="first") == 0.5
    assert early_precision(rank(edge, size)) == 0.5  # all four tie or are above
    assert early_precision(rank(edge, np.zeros(4))) == 0


def test_undefined_metrics_are_not_made_up():
    assert np.isnan(average_precision(rank(np.ones(3), np.arange(3))))
    assert np.isnan(average_precision(rank(np.zeros(3), np.arange(3))))
    assert np.isnan(early_precision(rank(np.zeros(3), np.arange(3))))


def test_ratios_are_over_chance_with_intervals_over_factors():
    edge, size, source = made()
    found = {one.name: one for one in measure(edge, size, source, ties="kept", draws=50)}
    share = edge.mean()
    assert found["density"].value == pytest.approx(share)
    expected = average_precision_score(edge, size) / share
    assert found["aupr_ratio"].value == pytest.approx(expected)
    assert found["aupr_ratio"].low < expected < found["aupr_ratio"].high
    assert found["aupr_ratio"].unit == "factor"
    assert found["epr"].low < found["epr"].value < found["epr"].high
    first = {one.name: one for one in measure(edge, size, source, ties="first", draws=5)}
    assert first["epr"].low is None
    one = measure(edge, size, np.zeros(len(edge)), ties="kept", draws=50)
    assert one[0].low is None


def test_densities_of_the_paper():
    edges, factors, nodes, genes = 436_563, 487, 2_762, 17_735
    assert edges / (factors * nodes - factors) == pytest.approx(0.3247, abs=5e-5)
    assert edges / genes**2 == pytest.approx(0.00139, abs=5e-6)
    assert max(one.value for one in task.published) < 1 / 0.3247  # what can be reached at all


def test_figures_are_drawn_from_a_ranking():
    edge, size, source = made()
    ranking = rank(edge, size)
    words = "".join(precision_recall(ranking, density(ranking)).itertext())
    assert "precision" in words
    assert "recall" in words
    names = np.array([f"TF{place}" for place in source])
    assert "TF" in "".join(by_factor(ranking, names).itertext())
    assert by_factor(rank(np.zeros(4), np.ones(4)), np.array(["a"] * 4)) is not None


@pytest.mark.real_data
def test_scores_of_deepsem_on_hesc_are_measured_as_scikit_learn_does():
    folder = shared_folder("data/grn")
    if folder is None:
        pytest.skip("the shared data are not here")
    edges = read_network(folder / "deepsem_500_ChIP-seq_hESC_label.csv.gz")
    scores = read_weights(folder / "deepsem_500_ChIP-seq_hESC_demo_output.tsv.gz")
    true = set(zip(edges["Gene1"], edges["Gene2"], strict=True))
    pairs = zip(scores["Gene1"], scores["Gene2"], strict=True)
    label = np.array([pair in true for pair in pairs], dtype=float)
    factors, genes = edges["Gene1"].nunique(), len({*edges["Gene1"], *edges["Gene2"]})
    assert len(label) == factors * genes - factors
    assert label.sum() == len(edges)
    size = scores["weight"].abs().to_numpy()
    found = measure(label, size, scores["Gene1"], ties="kept", draws=0)
    value = {one.name: one.value for one in found}
    chance = len(edges) / (factors * genes - factors)
    assert value["density"] == pytest.approx(chance)
    expected = average_precision_score(label, size) / chance
    assert value["aupr_ratio"] == pytest.approx(expected)
    top = np.zeros(len(label))
    top[np.argsort(-size, kind="stable")[: len(edges)]] = 1
    assert value["epr"] == pytest.approx(precision_score(label, top) / chance, rel=1e-3)
