"""Metrics of ranked edges beside scikit-learn, and BEELINE's and DeepSEM's own ways of counting."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_score

from sclong_tasks.data_files import prepare_data
from sclong_tasks.grn import task
from sclong_tasks.grn.config import GrnSettings
from sclong_tasks.grn.figures import by_factor, precision_recall
from sclong_tasks.grn.metrics import (
    average_precision,
    density,
    early_precision,
    measure,
    rank,
)
from sclong_tasks.grn.models.simple import EdgeListOptions
from sclong_tasks.grn.reading import read_network, read_weights
from sclong_tasks.registry import get_model
from tests.support.places import shared_folder


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


def release(label, predicted):
    """Both ratios as the evaluation of DeepSEM has them, with tables of names."""
    factors, genes = set(label["Gene1"]), {*label["Gene1"], *label["Gene2"]}
    true = set(label["Gene1"] + "|" + label["Gene2"])
    chosen = predicted[predicted["Gene1"].isin(factors) & predicted["Gene2"].isin(genes)]
    chosen = chosen.assign(size=chosen["EdgeWeight"].abs()).sort_values("size", ascending=False)
    top = chosen.iloc[: len(true)]
    hits = len(set(top["Gene1"] + "|" + top["Gene2"]) & true)
    epr = hits / (len(true) ** 2 / (len(factors) * len(genes) - len(factors)))
    weights = dict(zip(chosen["Gene1"] + "|" + chosen["Gene2"], chosen["size"], strict=True))
    pairs = [f"{one}|{other}" for one in factors for other in genes]
    labels = [int(pair in true) for pair in pairs]
    found = average_precision_score(labels, [weights.get(pair, -1) for pair in pairs])
    return found / np.mean(labels), epr


@pytest.mark.parametrize("predicted", [1.0, 0.6, 0.05])
@pytest.mark.parametrize("loops", [False, True])
def test_published_ratios_are_those_of_deepsems_evaluation(predicted, loops, tmp_path):
    generator = np.random.default_rng(int(100 * predicted) + loops)
    genes = [f"G{place}" for place in range(40)]
    every = pd.DataFrame([(a, b) for a in genes for b in genes], columns=["Gene1", "Gene2"])
    label = every[(every.index // 40 < 8) & (generator.random(len(every)) < 0.2)]
    label = label[loops | (label["Gene1"] != label["Gene2"])]
    weights = every[(every["Gene1"] != every["Gene2"]) & (generator.random(1600) < predicted)]
    weights = weights.assign(EdgeWeight=generator.normal(size=len(weights)))
    (tmp_path / "source").mkdir()
    label.to_csv(tmp_path / "source" / "refNetwork.csv", index=False)
    weights.to_csv(tmp_path / "w.csv", index=False)
    settings = GrnSettings.for_protocol("published")
    prepare_data(task, tmp_path / "data", str(tmp_path / "source"))
    data = task.load(tmp_path / "data", settings)
    model = get_model(task, "edge_list")(EdgeListOptions(path=str(tmp_path / "w.csv")))
    model.fit(data, None, None)
    split = task.split(data, scenario="reference", seed=0, settings=settings)
    metrics = task.evaluate(data, model.predict(data, split.test), split, settings)
    value = {one.name: one.value for one in metrics[:-1]}
    assert (value["aupr_ratio"], value["epr"]) == pytest.approx(release(label, weights))


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
