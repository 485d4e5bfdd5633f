"""Gene regulatory networks on made-up cells: models, planted signal, commands, bad input."""

import numpy as np
import pandas as pd
import pytest

from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError
from sclong_core.graph import GeneGraph
from sclong_core.testing import make_tiny_model
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.data_files import prepare_data
from sclong_tasks.grn import task
from sclong_tasks.grn.config import GrnSettings
from sclong_tasks.grn.data import load
from sclong_tasks.grn.example import NetworkSizes, write_network_files
from sclong_tasks.grn.models.deepsem import DeepSemOptions, scaled, standardised
from sclong_tasks.grn.models.edges import cosines
from sclong_tasks.grn.models.representation import CosineOptions
from sclong_tasks.grn.models.simple import precision_rows
from sclong_tasks.registry import get_model
from sclong_tasks.run import fit_and_predict
from sclong_tasks.settings import resolve
from sclong_tasks.task import RunContext

SETTINGS = GrnSettings(bootstrap=10)
SIZES = NetworkSizes(factors=6, genes=24, cells=80)
SHORT = {"training": {"epochs": 3, "batch_size": 40}, "network": {"hidden": 8}}
TRAINED = ("sclong", "sclong_permuted", "random_sclong", "gene2vec")
ABLATED = ("sclong_no_low_expression", "sclong_random_low_expression")
ZERO_SHOT = ("sclong_cosine", "random_sclong_cosine", "gene2vec_cosine")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grn") / "files"
    write_network_files(folder, SIZES)
    return folder


@pytest.fixture(scope="module")
def data(files):
    prepare_data(task, files.parent / "data", str(files))
    return load(files.parent / "data", SETTINGS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    make_tiny_model(genes=SIZES.genes).save_pretrained(folder)
    return folder


def context(tmp_path, **changes):
    return RunContext(
        **{"seed": 0, "protocol": "honest", "scratch": tmp_path, "device": "cpu"} | changes
    )


def scored(name, data, place, changes=None):
    kind = get_model(task, name)
    model = kind(resolve(kind.Options, "honest", changes or {}, "model"))
    split = task.split(data, scenario="reference", seed=place.seed, settings=SETTINGS)
    found = fit_and_predict(task, model, data, split, place, SETTINGS)
    metrics = task.evaluate(data, found, split, SETTINGS)
    return model, found, {(one.name, one.stratum): one.value for one in metrics}


def test_planted_edges_are_found_better_than_by_chance(data, tmp_path):
    values = {
        name: scored(name, data, context(tmp_path), changes)[2]["aupr_ratio", "all"]
        for name, changes in {
            "random": {},
            "correlation": {},
            "partial_correlation": {},
            "genie3": {"trees": 10},
        }.items()
    }
    assert 0.6 < values["random"] < 1.6
    for name in ("correlation", "partial_correlation", "genie3"):
        assert values[name] > values["random"] + 0.5, name


def test_deepsem_finds_planted_edges_from_a_start_that_knows_none(data, tmp_path):
    training = {"epochs": 90, "batch_size": 40, "learning_rate": 5e-3}
    network = {"hidden": 16, "network_epochs": 2, "decay": 1.0, "alpha": 0.01, "beta": 1.0}
    changes = {"training": training, "network": network, "regulators": "factors"}
    model, _, values = scored("deepsem", data, context(tmp_path), changes)
    assert values["aupr_ratio", "all"] > 2
    history = model.describe()["history"]
    assert history[-1]["training_loss"] < history[0]["training_loss"]


@pytest.mark.parametrize("name", [*TRAINED, *ABLATED, *ZERO_SHOT])
def test_representations_give_weights_that_repeat_and_are_kept(name, data, tmp_path, checkpoint):
    place = context(tmp_path, checkpoint=checkpoint)
    changes = {} if name in ZERO_SHOT else SHORT
    changes = {**changes, "rule": "flattened"} if name.startswith("random") else changes
    model, found, _ = scored(name, data, place, changes)
    assert np.isfinite(found["edge"]).all()
    assert found["edge"].abs().sum() > 0
    assert "24 of 24 genes" in model.describe()["coverage"]
    pd.testing.assert_frame_equal(scored(name, data, place, changes)[1], found)
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model", place)
    pd.testing.assert_frame_equal(again.predict(data, found.index.to_numpy()), found)


@pytest.mark.parametrize("weights", ["own", "normal"])
def test_random_weights_give_finite_numbers(weights, data, tmp_path):
    changes = {"weights": weights, "rule": "flattened"}
    _, found, _ = scored("random_sclong_cosine", data, context(tmp_path), changes)
    assert np.isfinite(found["edge"]).all()
    assert found["edge"].std() > 0


def test_means_over_channels_of_a_model_that_was_never_trained_say_nothing(data, tmp_path):
    model, found, _ = scored("random_sclong_cosine", data, context(tmp_path))
    assert not found["edge"].any()
    assert model.describe()["genes_without_representation"] == SIZES.genes


def test_high_genes_are_swept(data, tmp_path, checkpoint):
    place = context(tmp_path, checkpoint=checkpoint)
    few, many = (
        scored("sclong_cosine", data, place, {"high_genes": count})[1] for count in (4, 16)
    )
    assert not np.allclose(few, many)


def test_factors_alone_and_all_genes_are_both_trained(data, tmp_path):
    for regulators in ("factors", "all"):
        _, found, _ = scored(
            "deepsem_correlation", data, context(tmp_path), {**SHORT, "regulators": regulators}
        )
        assert found["edge"].abs().min() > 0


def test_what_was_trained_is_taken_from_the_cache(data, tmp_path, monkeypatch):
    place = context(tmp_path, cache=tmp_path / "cache")
    first = scored("deepsem", data, place, SHORT)[1]
    monkeypatch.setattr("sclong_tasks.grn.models.deepsem.fit_module", None)
    pd.testing.assert_frame_equal(scored("deepsem", data, place, SHORT)[1], first)


def test_forests_are_taken_from_the_cache(data, tmp_path):
    place = context(tmp_path, cache=tmp_path / "cache")
    first, again = (scored("genie3", data, place, {"trees": 2})[1] for _ in range(2))
    pd.testing.assert_frame_equal(again, first)


def test_published_faults_are_switches(data, tmp_path):
    options = resolve(get_model(task, "deepsem").Options, "published", SHORT, "model")
    assert options.inverse == "cholesky"
    found = []
    for seed in (0, 1):
        model = get_model(task, "deepsem")(options)
        model.fit(data, None, context(tmp_path, seed=seed))
        found.append(model)
    assert [len(model.facts["history"]) for model in found] == [11, 12]
    loops = GrnSettings(self_loops=True, ties="first", bootstrap=0)
    published = load(data_folder(data, tmp_path), loops)
    split = task.split(published, scenario="reference", seed=0, settings=loops)
    predicted = found[0].predict(published, split.test)
    values = {one.name: one for one in task.evaluate(published, predicted, split, loops)[:-1]}
    assert values["aupr_ratio"].n == values["epr"].n + SIZES.factors


def data_folder(data, tmp_path):
    write_network_files(tmp_path / "again", SIZES)
    prepare_data(task, tmp_path / "again-data", str(tmp_path / "again"))
    return tmp_path / "again-data"


def test_labels_reach_no_model(data, tmp_path):
    rows = np.arange(len(data.source))
    first = scored("correlation", data, context(tmp_path))[1]
    model = get_model(task, "correlation")(CosineOptions)
    model.options = resolve(get_model(task, "correlation").Options, "honest", {}, "model")
    model.fit(data.hide(rows), None, context(tmp_path))
    hidden = model.predict(data.hide(rows), first.index.to_numpy())
    pd.testing.assert_frame_equal(hidden, first)


def test_partial_correlations_are_those_of_the_whole_inverse():
    generator = np.random.default_rng(0)
    for cells, genes in ((6, 15), (30, 8)):
        values = generator.normal(size=(cells, genes))
        rows = np.array([0, 3, 5], dtype=np.int32)
        covariance = 0.2 * np.eye(genes) + 0.8 * values.T @ values / cells
        expected = np.linalg.inv(covariance)
        found, own = precision_rows(values, rows, 0.2)
        np.testing.assert_allclose(found, expected[rows], atol=1e-9)
        np.testing.assert_allclose(own, np.diag(expected), atol=1e-9)


def test_cosines_in_blocks_and_of_nothing():
    values = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    values[2] = 0
    rows = np.array([1, 2], dtype=np.int32)
    found = cosines(values, rows, block=4)
    length = np.linalg.norm(values, axis=1)
    expected = values[1] @ values.T / np.where(length > 0, length * length[1], 1)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert not found[1].any()


def test_standardisation_is_over_what_is_not_zero():
    values = np.array([[0, 5, 1], [2, 5, 1], [4, 5, 0]], dtype=np.float32)
    found, mask = standardised(values)
    np.testing.assert_allclose(found[:, 0], [-3, -1, 1])
    assert not found[:, 1].any()  # never varies
    assert mask.sum() == 7
    weights = scaled(np.ones((2, 3)), np.array([0, 2], dtype=np.int32), 0.9)
    np.testing.assert_allclose(weights, [[0, 0.45, 0.9], [0.9, 0.45, 0]])


def test_a_gene_graph_is_read_in_both_directions(data, tmp_path):
    genes = data.genes
    graph = GeneGraph(
        len(genes), np.array([[0, 10], [7, 1]]), np.array([0.5, 0.25], dtype=np.float32)
    )
    graph.write(tmp_path / "graph.npz")
    GeneVocabulary.from_ids(genes).write(tmp_path / "vocabulary.tsv")
    changes = {"path": str(tmp_path / "graph.npz"), "vocabulary": str(tmp_path / "vocabulary.tsv")}
    model, _, _ = scored("graph", data, context(tmp_path), changes)
    assert (model.weights[0, 7], model.weights[1, 10]) == (0.5, 0.25)
    assert (model.weights > 0).sum() == 2
    with pytest.raises(ConfigError, match="needs an scLong checkpoint"):
        scored("graph", data, context(tmp_path))
    with pytest.raises(ConfigError, match=r"model\.vocabulary"):
        scored("graph", data, context(tmp_path), {"path": "x"})


def test_weights_of_another_program(data, tmp_path):
    genes = data.genes
    table = pd.DataFrame({"Gene1": [genes[0], "other"], "Gene2": [genes[9], genes[9]]})
    table.assign(EdgeWeight=[0.7, 1]).to_csv(tmp_path / "ranked.csv", index=False, sep="\t")
    place = context(tmp_path)
    model, found, _ = scored("edge_list", data, place, {"path": str(tmp_path / "ranked.csv")})
    assert model.describe()["edges_left_out"] == 1
    assert found["edge"].sum() == np.float32(0.7)
    with pytest.raises(ConfigError, match=r"model\.path"):
        scored("edge_list", data, place)
    table.iloc[1:].assign(EdgeWeight=1).to_csv(tmp_path / "ranked.csv", index=False)
    with pytest.raises(InputError, match=r"no edge between genes of the data: .* other"):
        scored("edge_list", data, place, {"path": str(tmp_path / "ranked.csv")})


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rule": "x"}, "rule"),
        ({"start": "x"}, "start"),
        ({"row_sum": 0.0}, "row_sum"),
        ({"inverse": "cholesky", "regulators": "factors"}, "cholesky"),
        ({"training": {"devices": 2, "patience": 0}}, "one process"),
        ({"training": {"patience": 5}}, "patience"),
        ({"encoder": {"tuning": "full"}}, "frozen"),
    ],
)
def test_wrong_options_are_refused(changes, what):
    with pytest.raises(ConfigError, match=what):
        DeepSemOptions(**changes)


def test_the_commands_run_and_predict(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["task", "data", "grn", "--source", str(files)]) == 0
    words = ["task", "run", "grn", "--model", "correlation", "random", "--set", "task.bootstrap=5"]
    words += ["--set", "task.candidates=pairs", "--scenario", "reference", "string"]
    assert main(words) == 0
    run = next((tmp_path / "task-runs/grn").glob("correlation-honest-reference-*"))
    assert {"precision_recall.svg", "factors.svg"} <= {p.name for p in (run / "figures").iterdir()}
    edges = pd.read_csv(files / "refNetwork.csv").iloc[:4]
    edges.to_csv("edges.csv", index=False)
    ask = ["task", "predict", "grn", "--run", str(run), "--input", "edges.csv"]
    assert main([*ask, "--output", "out.csv"]) == 0
    table = pd.read_csv("out.csv")
    assert table[["Gene1", "Gene2"]].equals(edges[["Gene1", "Gene2"]])
    assert table["predicted_edge"].notna().all()
    edges.assign(Gene2="none").to_csv("edges.csv", index=False)
    assert main(ask) == 2
    assert "1 genes are not in the data: none" in " ".join(capsys.readouterr().err.split())
    assert main(["task", "results", "task-runs", "--markdown", "t.md"]) == 0
    text = (tmp_path / "t.md").read_text()
    assert "| aupr_ratio, all pairs |" in text
    assert "| density, all genes |" in text
