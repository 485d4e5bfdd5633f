"""Models of chemical perturbation: they learn, repeat, and are the same after saving."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from sclong_core.errors import ConfigError, InputError
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong
from sclong_core.testing import make_tiny_model
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.batches import row_batches
from sclong_tasks.chemical_perturbation import task
from sclong_tasks.chemical_perturbation.config import ChemicalSettings
from sclong_tasks.chemical_perturbation.example import write_example
from sclong_tasks.chemical_perturbation.models.simple import tanimoto
from sclong_tasks.chemical_perturbation.module import ChemicalModule, NetworkShape
from sclong_tasks.chemistry.graphs import GraphTable, drug_graphs
from sclong_tasks.data_files import prepare_data
from sclong_tasks.encoders.slots import TableSlot
from sclong_tasks.predict import PredictRequest, predict
from sclong_tasks.registry import get_model
from sclong_tasks.results import read_metrics
from sclong_tasks.run import RunRequest, fit_and_predict, run_task
from sclong_tasks.settings import defaults, resolve
from sclong_tasks.task import RunContext
from sclong_tasks.training import Schedule, seeded

SETTINGS = ChemicalSettings(top_genes=5, bootstrap=0, test_fraction=0.2)
SHAPE = {"gene": 16, "drug": 16, "heads": 2, "feed_forward": 16, "head": 16, "dropout": 0.0}
TRAINING = {"epochs": 20, "batch_size": 16, "learning_rate": 5e-3}
NETWORK = {"shape": SHAPE, "training": TRAINING}
SHORT = {"shape": SHAPE, "training": {**TRAINING, "epochs": 1}}
MEANS = ("zero", "gene_mean", "cell_mean", "cell_dose_mean")
CHANGES = {"linear": {"alpha": 1.0}, "knn": {}, "deepce": SHORT, "random_sclong": SHORT}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chemical")
    write_example(folder / "original")
    prepare_data(task, folder / "data", str(folder / "original"))
    return task.load(folder / "data", SETTINGS)


def context(folder, seed=0, checkpoint=None):
    folder.mkdir(exist_ok=True, parents=True)
    return RunContext(
        seed=seed, protocol="honest", scratch=folder, device="cpu", checkpoint=checkpoint
    )


def run(name, data, folder, *, scenario="compound", changes=None, checkpoint=None):
    kind = get_model(task, name)
    chosen = CHANGES.get(name, {}) if changes is None else changes
    model = kind(resolve(kind.Options, "honest", chosen, "model"))
    split = task.split(data, scenario=scenario, seed=0, settings=SETTINGS)
    where = context(folder, checkpoint=checkpoint)
    found = fit_and_predict(task, model, data, split, where, SETTINGS)
    metrics = {one.name: one.value for one in task.evaluate(data, found, split, SETTINGS)}
    return model, split, found, metrics


@pytest.mark.parametrize("name", [*MEANS, *CHANGES])
def test_a_model_is_the_same_after_saving_and_loading(name, data, tmp_path):
    model, split, found, _ = run(name, data, tmp_path / "scratch")
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model", context(tmp_path / "other"))
    blind = data.hide(np.arange(len(data.table)))
    np.testing.assert_allclose(again.predict(blind, split.test), found, rtol=1e-5, atol=1e-5)
    assert list(found.columns) == list(data.genes)


@pytest.mark.parametrize("name", ["deepce", "random_sclong", "random_vectors"])
def test_a_network_repeats_with_its_seed(name, data, tmp_path):
    found = [run(name, data, tmp_path / str(turn), changes=SHORT)[2] for turn in range(2)]
    pd.testing.assert_frame_equal(*found)


@pytest.mark.parametrize(
    ("name", "changes"), [("deepce", NETWORK), ("linear", None), ("knn", None)]
)
def test_a_planted_signal_is_found_where_means_cannot_tell(name, changes, data, tmp_path):
    found = run(name, data, tmp_path, changes=changes)[3]
    trivial = run("cell_dose_mean", data, tmp_path)[3]
    assert found["pearson"] > trivial["pearson"] + 0.2
    assert found["rmse"] < 0.8 * trivial["rmse"]
    assert found["pearson_beyond_mean"] > 0.5


def test_shuffled_structures_take_the_planted_signal_away(data, tmp_path):
    order = np.random.default_rng(1).permutation(len(data.molecules))
    names = data.molecules.names
    mixed = tuple(
        replace(data.molecules.molecules[place], name=name)
        for place, name in zip(order, names, strict=True)
    )
    shuffled = replace(data, molecules=replace(data.molecules, molecules=mixed))
    found = run("linear", shuffled, tmp_path)[3]["pearson_beyond_mean"]
    assert found < run("linear", data, tmp_path)[3]["pearson_beyond_mean"] - 0.5


def test_models_never_see_profiles_of_test_rows(data, tmp_path):
    changed = replace(data, values=data.values.copy())
    split = task.split(data, scenario="compound", seed=0, settings=SETTINGS)
    changed.values[split.test] = 1e6
    for name in ("cell_dose_mean", "linear", "knn", "deepce"):
        pd.testing.assert_frame_equal(run(name, data, tmp_path)[2], run(name, changed, tmp_path)[2])


def test_means_of_a_new_line_are_those_of_all(data, tmp_path):
    folder = tmp_path / "files"
    write_example(folder, lines=3)
    prepare_data(task, tmp_path / "data", str(folder))
    three = task.load(tmp_path / "data", SETTINGS)
    split, found = run("cell_dose_mean", three, tmp_path, scenario="cell_line")[1:3]
    np.testing.assert_allclose(found.to_numpy()[0], three.mean_profile(split.train))


def test_tanimoto_counts_shared_bits():
    one, other = np.array([[1.0, 1, 0], [0, 0, 0]]), np.array([[1.0, 0, 1], [1, 1, 0]])
    np.testing.assert_allclose(tanimoto(one, other), [[1 / 3, 1], [0, 0]])


def network(data, dim=8, **changes):
    shape = NetworkShape(**{**SHAPE, **changes})
    vectors = np.random.default_rng(0).normal(size=(len(data.genes), dim)).astype(np.float32)
    graphs = GraphTable(drug_graphs(data.molecules, "deepce"))
    with seeded(0):
        return ChemicalModule(shape, Schedule(1e-2), graphs, TableSlot(vectors), (2, 1))


def batch(data, rows):
    lines = (data.table["cell_id"].iloc[rows] == "A375").to_numpy()
    return {
        "drug": torch.from_numpy(data.drug[rows]),
        "line": torch.from_numpy(np.stack([lines, ~lines], 1).astype(np.float32)),
        "dose": torch.from_numpy(data.log_dose[rows].astype(np.float32)[:, None]),
        "target": torch.from_numpy(data.values[rows]),
    }


@pytest.mark.parametrize(
    "changes", [{}, {"drug_encoder": "gcn", "graph": [16, 16, 16], "pool": "mean", "gene": 32}]
)
def test_the_network_fits_one_batch(data, changes):
    module, rows = network(data, **changes), batch(data, np.arange(0, 160, 20))
    optimizer = module.configure_optimizers()["optimizer"]
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = functional.mse_loss(module(rows), rows["target"])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("encoder", ["fingerprint", "gcn"])
def test_a_prediction_does_not_depend_on_the_batch(data, encoder):
    module = network(data, drug_encoder=encoder).eval()
    with torch.no_grad():
        together = module(batch(data, np.arange(40)))
        alone = torch.cat([module(batch(data, np.array([row]))) for row in range(40)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_a_network_by_parts_is_the_one_that_joins_them(data):
    module, rows = network(data).eval(), batch(data, np.arange(30))
    genes = {}
    module.attended.register_forward_hook(lambda _m, _i, out: genes.update(out=out))
    pooled = {}
    module.atoms.register_forward_hook(lambda _m, _i, out: pooled.update(out=out))
    with torch.no_grad():
        found = module(rows)
        drugs, places = torch.unique(rows["drug"], return_inverse=True)
        owner = module.graphs(drugs)[2]
        drug = torch.zeros(len(drugs), 16).index_add(0, owner, pooled["out"])[places]
        told = [module.condition[n](rows[name]) for n, name in enumerate(("line", "dose"))]
        rest = torch.cat([drug, *told], 1)[:, None].expand(-1, len(data.genes), -1)
        joined = torch.cat([genes["out"][places], rest], 2).relu()
        whole = module.out(module.joined(joined).relu()).squeeze(2)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


def test_each_distinct_drug_of_a_batch_is_encoded_once(data):
    module, seen = network(data).eval(), []
    module.attention[0].register_forward_hook(lambda _m, inputs, _o: seen.append(len(inputs[1])))
    module(batch(data, np.flatnonzero(np.isin(data.drug, [2, 5, 7]))))
    assert seen == [3]


def test_a_batch_of_one_row_trains(data):
    module = network(data).train()
    module(batch(data, np.array([0]))).sum().backward()


@pytest.mark.parametrize(
    "wrong",
    [{"heads": 3}, {"pool": "max"}, {"graph": []}, {"drug_encoder": "other"}, {"dropout": 1.0}],
)
def test_impossible_shapes_are_refused(wrong):
    with pytest.raises(ConfigError):
        NetworkShape(**{**SHAPE, **wrong})


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    genes = len(data.genes)
    places = np.arange(genes)
    edges = np.stack([np.r_[places, places], np.r_[places, (places + 1) % genes]])
    graph = GeneGraph(genes, edges, np.full(2 * genes, 0.5, np.float32))
    config = replace(make_tiny_model(genes=genes).config, graph="edges")
    with seeded(0):
        model = ScLong(config, GeneVocabulary.from_ids(data.genes), graph)
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "name", ["sclong", "sclong_no_graph", "sclong_random_graph", "gene2vec", "graph"]
)
def test_gene_vectors_of_a_checkpoint_are_finite_and_bound_to_it(name, data, checkpoint, tmp_path):
    model, _, found, _ = run(name, data, tmp_path, changes=SHORT, checkpoint=checkpoint)
    assert np.isfinite(found.to_numpy()).all()
    assert "24 of 24 genes are known" in model.describe()["encoder"]["coverage"]
    with pytest.raises(ConfigError, match="checkpoint"):
        run(name, data, tmp_path, changes=SHORT)


def test_as_published_sclong_gives_its_graph_convolution_and_doses_go_by_name():
    options = defaults(get_model(task, "sclong").Options, "published")
    assert (options.encoder.name, options.dose, options.unknown_genes) == (
        "graph",
        "one_hot",
        "zero",
    )
    assert options.training.patience == options.training.epochs
    assert defaults(get_model(task, "deepce").Options, "published").dose == "one_hot"


def test_genes_without_a_vector_are_named_and_get_what_is_asked_for(data, tmp_path):
    names, vectors = data.gene_vectors
    fewer = replace(data, gene_vectors=(names[1:], vectors[1:]))
    for rule, expected in (("zero", 0 * vectors[0]), ("mean", vectors[1:].mean(0))):
        model = run("deepce", fewer, tmp_path, changes={**SHORT, "unknown_genes": rule})[0]
        np.testing.assert_allclose(model.module.cells.values[0], expected, rtol=1e-5)
        assert "23 of 24 genes are known; not known: GENE0" in model.encoder_facts["coverage"]
    wrong = ((None, "no gene vectors"), ((("X",), vectors[:1]), "none of the genes"))
    for given, said in wrong:
        with pytest.raises(InputError, match=said):
            run("deepce", replace(data, gene_vectors=given), tmp_path)


def test_gene_vectors_are_not_tuned(data, tmp_path):
    with pytest.raises(ConfigError, match="gene vectors stay"):
        run(
            "random_sclong",
            data,
            tmp_path,
            changes={"encoder": {"name": "random", "tuning": "full"}},
        )


def test_one_hot_doses_refuse_those_that_were_not_trained_on(data, tmp_path):
    model = run("deepce", data, tmp_path, changes={**SHORT, "dose": "one_hot"})[0]
    other = replace(data, table=data.table.assign(dose=5.0))
    with pytest.raises(InputError, match=r"1 doses were not trained on: 5.0 micromolar"):
        model.predict(other, np.arange(3))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_example(folder / "original")
    prepare_data(task, folder / "data", str(folder / "original"))
    changes = {"task": {"top_genes": 5, "bootstrap": 10}, "model": SHORT}
    request = RunRequest(
        "chemical_perturbation", "deepce", 0, folder / "data", folder / "runs",
        changes=changes, device="cpu",
    )  # fmt: skip
    return run_task(request).folder, folder / "data"


def test_a_run_has_metrics_and_figures(finished):
    rows = read_metrics(finished[0] / "metrics.json")
    assert {"pearson", "rmse", "pos_p_at_5", "neg_p_at_5"} <= set(rows["metric"])
    names = {path.name for path in (finished[0] / "figures").iterdir()}
    assert names == {"training.svg", "predicted.svg", "profiles.svg"}


def ask(finished, folder, text):
    (folder / "conditions.csv").write_text(text)
    inputs = {"conditions": folder / "conditions.csv"}
    return predict(PredictRequest("chemical_perturbation", finished[0], inputs, finished[1]))


def test_new_drugs_lines_and_doses_are_predicted_by_gene(finished, tmp_path, caplog):
    text = (
        "cell_id,dose,pert_id,smiles\n"
        "A375,1.11 um,BRD-K00000000,\nMCF7,700 nM,new,c1ccccc1Cl\nK562,5,BRD-K00000003,\n"
    )
    found = ask(finished, tmp_path, text)
    assert list(found["pert_id"]) == ["BRD-K00000000", "new", "BRD-K00000003"]
    assert list(found["dose"]) == [1.11, 0.7, 5.0]
    assert np.isfinite(found[[f"predicted_GENE{number}" for number in range(24)]]).all(None)
    assert "1 cell lines were not trained on" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cell_id,dose\nA375,1\n", "needs the columns"),
        ("cell_id,dose,smiles\n", "has no rows"),
        (
            "cell_id,dose,smiles\nA375,much,CCO\n",
            "1 doses are not positive numbers, 'much' in line 2",
        ),
        ("cell_id,dose,smiles\n,1,CCO\n", "line 2: cell_id is empty"),
        ("cell_id,dose,pert_id\nA375,1,X\n", "1 compounds are not among the known ones: X"),
        ("cell_id,dose,smiles\nA375,1,C(C\n", "RDKit cannot read"),
        ("cell_id,dose,pert_id,smiles\nA375,1,X,CC\nA375,2,X,CO\n", "line 3: X has two SMILES"),
    ],
)
def test_conditions_that_cannot_be_understood_are_named(finished, tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        ask(finished, tmp_path, text)


def test_batches_hold_hidden_profiles_as_zeros(data, tmp_path):
    model = run("deepce", data, tmp_path)[0]
    hidden = data.hide(np.arange(len(data.table)))
    (first, *_) = row_batches(model.columns(hidden, np.arange(4)), 4)
    assert not first["target"].any()
