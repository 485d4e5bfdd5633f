"""Models of drug response: they learn, repeat, and are the same after saving and loading."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.testing import make_tiny_model
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.chemistry.graphs import GraphTable, drug_graphs
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_response import task
from sclong_tasks.drug_response.config import DeepCdrOptions, DrugResponseSettings, NetworkOptions
from sclong_tasks.drug_response.example import write_example
from sclong_tasks.drug_response.models.identity import soft_impute
from sclong_tasks.drug_response.models.neural import columns
from sclong_tasks.drug_response.module import DeepCdrModule
from sclong_tasks.encoders.slots import TableSlot
from sclong_tasks.registry import get_model
from sclong_tasks.results import read_metrics
from sclong_tasks.run import RunRequest, fit_and_predict, run_task
from sclong_tasks.settings import resolve
from sclong_tasks.task import RunContext
from sclong_tasks.training import seeded

SETTINGS = DrugResponseSettings(bootstrap=0, test_fraction=0.2, validation_fraction=0.1)
NETWORK = {"graph_layers": [16, 16], "head": "mlp", "cell_hidden": 32, "branch": 16}
TRAINING = {"epochs": 40, "batch_size": 64, "learning_rate": 3e-3}
NEURAL = {"network": NETWORK, "training": TRAINING}
CLASSICAL = {"expression_components": 8, "bits": 64}
TREES = {**CLASSICAL, "drug_components": 8, "trees": 60}
CHANGES = {
    "deepcdr": NEURAL,
    "random_sclong": {**NEURAL, "training": {**TRAINING, "epochs": 2}},
    "linear": {"bits": 64},
    "ridge_pca": {**CLASSICAL, "alpha": 1.0, "interactions": 8},
    "gradient_boosting": TREES,
    "random_forest": TREES,
    "low_rank": {"threshold": 2.0, "rounds": 200},
}
IDENTITY = ("mean", "drug_mean", "drug_line_offsets")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("response")
    write_example(folder / "original", lines=60)
    prepare_data(task, folder / "data", str(folder / "original"))
    return task.load(folder / "data", SETTINGS)


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    model = make_tiny_model(genes=len(data.expression.genes))
    model.vocabulary = GeneVocabulary.from_ids(data.expression.genes)
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    model.save_pretrained(folder)
    return folder


def fresh(name, changes=None):
    kind = get_model(task, name)
    return kind(resolve(kind.Options, "honest", CHANGES.get(name, {}) | (changes or {}), "model"))


def context(folder, seed=0, checkpoint=None):
    folder.mkdir(exist_ok=True, parents=True)
    return RunContext(
        seed=seed, protocol="honest", scratch=folder, device="cpu", checkpoint=checkpoint
    )


def run(name, data, folder, *, scenario="pair", seed=0, changes=None, checkpoint=None):
    split = task.split(data, scenario=scenario, seed=seed, settings=SETTINGS)
    model = fresh(name, changes)
    found = fit_and_predict(task, model, data, split, context(folder, seed, checkpoint), SETTINGS)
    metrics = {one.name: one.value for one in task.evaluate(data, found, split, SETTINGS)}
    return model, split, found, metrics


@pytest.mark.parametrize("name", [*IDENTITY, *CHANGES])
def test_a_model_is_the_same_after_saving_and_loading(name, data, tmp_path):
    model, split, found, _ = run(name, data, tmp_path / "scratch")
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model", context(tmp_path / "other"))
    blind = data.hide(np.arange(len(data.table)))
    np.testing.assert_allclose(again.predict(blind, split.test), found, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["deepcdr", "random_forest", "gradient_boosting", "low_rank"])
def test_a_model_repeats_with_its_seed(name, data, tmp_path):
    small = {"training": {**TRAINING, "epochs": 2}} if name == "deepcdr" else {}
    found = [run(name, data, tmp_path / str(turn), changes=small)[2] for turn in range(2)]
    pd.testing.assert_frame_equal(*found)


@pytest.mark.parametrize(
    "name", ["deepcdr", "ridge_pca", "gradient_boosting", "random_forest", "low_rank"]
)
def test_a_planted_signal_is_found_where_means_cannot_tell(name, data, tmp_path):
    scenario = "pair" if name == "low_rank" else "cell_line"
    found = run(name, data, tmp_path, scenario=scenario)[3]["pearson_within_drug"]
    trivial = run("drug_line_offsets", data, tmp_path, scenario=scenario)[3]
    assert found > trivial["pearson_within_drug"] + 0.1


def test_shuffled_expression_takes_the_planted_signal_away(data, tmp_path):
    order = np.random.default_rng(0).permutation(len(data.expression.cells))
    shuffled = replace(
        data, expression=replace(data.expression, values=data.expression.values[order])
    )
    found = run("ridge_pca", shuffled, tmp_path, scenario="cell_line")[3]["pearson_within_drug"]
    real = run("ridge_pca", data, tmp_path, scenario="cell_line")[3]["pearson_within_drug"]
    assert found < real - 0.3


def test_models_never_see_targets_of_test_rows(data, tmp_path):
    changed = replace(data, target=data.target.copy())
    split = task.split(data, scenario="pair", seed=0, settings=SETTINGS)
    changed.target[split.test] = 1e6
    for name in ("drug_line_offsets", "ridge_pca"):
        pd.testing.assert_frame_equal(run(name, data, tmp_path)[2], run(name, changed, tmp_path)[2])


def test_unknown_drugs_and_lines_get_what_is_known_of_the_rest(data, tmp_path):
    model, split, found, _ = run("drug_line_offsets", data, tmp_path, scenario="drug")
    lines = data.table["line"].iloc[split.test]
    expected = [model.mean + model.line_effect_l[model.lines[line]] for line in lines]
    np.testing.assert_allclose(found["ln_ic50"], expected)


def test_soft_impute_fills_a_low_rank_matrix_in():
    generator = np.random.default_rng(0)
    full = generator.normal(size=(40, 2)) @ generator.normal(size=(2, 30))
    seen = generator.random(full.shape) < 0.7
    filled = soft_impute(np.where(seen, full, 0), seen, 0.5, 300)
    assert np.abs(filled - full)[~seen].mean() < 0.15 * np.abs(full)[~seen].mean()


def network(data, **changes):
    options = NetworkOptions(**{"graph_layers": [16, 16], "dropout": 0.0, **changes})
    with seeded(0):
        return DeepCdrModule(
            options,
            1e-2,
            GraphTable(drug_graphs(data.molecules, "deepcdr")),
            TableSlot(data.expression.log1p),
        )


@pytest.mark.parametrize("head", ["cnn", "mlp"])
def test_the_network_fits_one_batch(data, head):
    module = network(data, head=head)
    if head == "cnn":
        for layer in module.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
    batch = columns(data, np.arange(0, 320, 10))
    optimizer = module.configure_optimizers()
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = ((module(batch) - batch["target"]) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_each_distinct_drug_of_a_batch_passes_the_graph_network_once(data):
    module = network(data).eval()
    seen = []
    module.drug.register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[3]))
    rows = np.flatnonzero(np.isin(data.drug, [2, 5, 7]))
    module(columns(data, rows))
    assert len(rows) > 50
    assert seen == [3]


def test_a_prediction_does_not_depend_on_the_batch(data):
    module = network(data).eval()
    rows = np.arange(50)
    with torch.no_grad():
        together = module(columns(data, rows))
        alone = torch.cat([module(columns(data, rows[[row]])) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_a_batch_of_one_row_trains(data):
    module = network(data).train()
    module(columns(data, np.array([3]))).sum().backward()


def test_a_drug_averaged_over_padding_is_its_mean_times_its_share_of_atoms(data):
    plain, padded = network(data).eval(), network(data, padded_atoms=100).eval()
    padded.load_state_dict(plain.state_dict())
    drugs = torch.arange(3)
    with torch.no_grad():
        mean = plain.drug(*plain.graphs(drugs), 3)
        over_slots = padded.drug(*padded.graphs(drugs), 3)
    atoms = torch.diff(plain.graphs.atom_starts)[:3, None]
    torch.testing.assert_close(over_slots, mean * atoms / 100)


def dense_drugs(branch, graphs, drugs, slots):
    """DeepCDR's own drug branch: padded tables, adjacency of padding beside that of atoms."""
    x, adjacency = (
        torch.zeros(drugs, slots, graphs.x.shape[1]),
        torch.eye(slots).repeat(drugs, 1, 1),
    )
    for drug in range(drugs):
        here, edges, _ = graphs(torch.tensor([drug]))
        x[drug, : len(here)] = here
        adjacency[drug, edges[1], edges[0]] = 1
    scale = adjacency.sum(2).rsqrt()
    adjacency = scale[:, :, None] * adjacency * scale[:, None, :]
    for convolution, norm in zip(branch.convolutions, branch.norms, strict=True):
        x = torch.relu(adjacency @ convolution.lin(x) + convolution.bias)
        x = norm(x.flatten(0, 1)).view(drugs, slots, -1)
    return x.mean(1)


@pytest.mark.parametrize("training", [False, True])
def test_atoms_of_padding_are_carried_as_in_deepcdr(data, training):
    module = network(data, padded_atoms=30, padding="carried", dropout=0.0)
    with torch.no_grad():
        for convolution in module.drug.convolutions:
            convolution.bias.uniform_(-1, 1)
        other = copy.deepcopy(module.drug).train(training)
        drugs = torch.arange(4)
        found = module.drug.train(training)(*module.graphs(drugs), 4)
        torch.testing.assert_close(found, dense_drugs(other, module.graphs, 4, 30))
        few = network(data, padded_atoms=2, padding="carried").drug.eval()
        plain = network(data).drug.eval()
        few.load_state_dict(plain.state_dict())
        torch.testing.assert_close(few(*module.graphs(drugs), 4), plain(*module.graphs(drugs), 4))


def test_padding_is_carried_as_published_and_other_words_are_refused():
    options = DeepCdrOptions.for_protocol("published").network
    assert (options.padded_atoms, options.padding) == (100, "carried")
    for wrong in ({"padding": "some"}, {"padded_atoms": -1}):
        with pytest.raises(ConfigError, match=r"network\.padd"):
            NetworkOptions(**wrong)


@pytest.mark.parametrize("tuning", ["frozen", "full", "lora"])
def test_sclong_stands_in_the_slot(tuning, data, checkpoint, tmp_path):
    changes = {
        "network": NETWORK,
        "training": {**TRAINING, "epochs": 1, "batch_size": 256},
        "encoder": {"tuning": tuning, "pool": "gene_mean"},
    }
    model, split, found, _ = run(
        "sclong", data, tmp_path / "scratch", changes=changes, checkpoint=checkpoint
    )
    facts = model.describe()
    assert facts["variant"] == f"{tuning}, gene_mean"
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model", context(tmp_path / "other", checkpoint=checkpoint))
    np.testing.assert_allclose(again.predict(data, split.test), found, rtol=1e-4, atol=1e-4)


def test_another_checkpoint_than_the_runs_is_refused(data, checkpoint, tmp_path):
    changes = {"network": NETWORK, "training": {"epochs": 1, "batch_size": 256}}
    model, split, *_ = run("sclong", data, tmp_path, changes=changes, checkpoint=checkpoint)
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    other = make_tiny_model(genes=len(data.expression.genes), seed=1)
    other.vocabulary = GeneVocabulary.from_ids(data.expression.genes)
    other.save_pretrained(tmp_path / "checkpoint")
    again = type(model).load(
        tmp_path / "model", context(tmp_path / "b", checkpoint=tmp_path / "checkpoint")
    )
    with pytest.raises(InputError, match="not the one that the run was trained with"):
        again.predict(data, split.test)


def test_sclong_in_a_run_folder_names_its_checkpoint(checkpoint, tmp_path):
    write_example(tmp_path / "original")
    prepare_data(task, tmp_path / "data", str(tmp_path / "original"))
    changes = {"network": NETWORK, "training": {"epochs": 1, "batch_size": 256}}
    request = RunRequest(
        "drug_response",
        "sclong",
        0,
        tmp_path / "data",
        tmp_path / "runs",
        checkpoint=checkpoint,
        changes={"model": changes, "task": {"bootstrap": 0}},
        cache=tmp_path / "cache",
        device="cpu",
    )
    folder = run_task(request).folder
    rows = read_metrics(folder / "metrics.json")
    assert rows["checkpoint_digest"].str.len().eq(64).all()
    assert (folder / "figures" / "training.svg").is_file()
    with pytest.raises(InputError, match="already exists"):
        run_task(request)
    with pytest.raises(ConfigError, match="needs an scLong checkpoint"):
        run_task(replace(request, checkpoint=None))
    with pytest.raises(CheckpointError):
        run_task(replace(request, checkpoint=tmp_path))
