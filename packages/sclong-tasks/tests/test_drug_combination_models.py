"""Models of drug combinations: symmetric, learning, repeatable, saved, blind to test targets."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from sclong_core.errors import ConfigError, InputError
from sclong_core.testing import make_tiny_model
from sclong_tasks.batches import row_batches
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_combination import task
from sclong_tasks.drug_combination.config import CombinationSettings
from sclong_tasks.drug_combination.data import TARGET
from sclong_tasks.drug_combination.example import write_synthetic_files
from sclong_tasks.drug_combination.models.network import _columns
from sclong_tasks.drug_combination.module import CombinationModule, NetworkShape
from sclong_tasks.metrics.delong import auroc
from sclong_tasks.predict import PredictRequest, predict
from sclong_tasks.registry import get_model
from sclong_tasks.results import read_runs
from sclong_tasks.run import RunRequest, run_task
from sclong_tasks.settings import resolve
from sclong_tasks.tables import markdown_tables
from sclong_tasks.task import RunContext
from sclong_tasks.training import Schedule

SETTINGS = CombinationSettings(bootstrap_draws=0)
SMALL = {
    "shape": {"graph": [16], "drug": [16], "cell": [16], "head": [32], "dropout": 0.0},
    "training": {"epochs": 40, "batch_size": 64, "learning_rate": 5e-3, "patience": 40},
}
NETWORKS = ("sclong", "random_sclong", "deepdds", "gene2vec", "sclong_finetuned", "sclong_lora")
SIMPLE = ("gradient_boosting", "random_forest", "logistic_regression", "drug_prior", "pair_prior")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("combination")
    write_synthetic_files(folder / "files")
    prepare_data(task, folder / "data", str(folder / "files"))
    model = make_tiny_model()
    model.save_pretrained(folder / "checkpoint")
    return folder


@pytest.fixture(scope="module")
def data(prepared):
    return task.load(prepared / "data", SETTINGS)


def context(prepared, tmp_path, seed=1):
    return RunContext(seed, "honest", tmp_path, prepared / "checkpoint", device="cpu")


def options(name, protocol="honest", **changes):
    kind = get_model(task, name)
    network = SMALL if name not in SIMPLE else {}
    return kind(resolve(kind.Options, protocol, {**network, **changes}, "model"))


def quick(name):
    return {} if name in SIMPLE else {"training": {**SMALL["training"], "epochs": 2}}


def swapped(data):
    return replace(data, first=data.second, second=data.first)


@pytest.mark.parametrize("name", [*NETWORKS, *SIMPLE])
def test_a_model_is_symmetric_saved_and_read_back_the_same(prepared, data, tmp_path, name):
    split = task.split(data, scenario="pair", seed=1, settings=SETTINGS)
    here = context(prepared, tmp_path)
    model = options(name, **quick(name))
    model.fit(data.hide(split.test), split, here)
    found = model.predict(data, split.test)
    assert np.array_equal(model.predict(swapped(data), split.test)[TARGET], found[TARGET])
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model", here).predict(data, split.test)
    np.testing.assert_allclose(again[TARGET], found[TARGET], atol=1e-6)
    json.dumps(model.describe())


@pytest.mark.parametrize("name", ["deepdds", "random_forest"])
def test_the_published_form_depends_on_the_order_of_the_drugs(prepared, data, tmp_path, name):
    split = task.split(data, scenario="pair", seed=1, settings=SETTINGS)
    changes = {"shape": {**SMALL["shape"], "symmetric": False}} if name == "deepdds" else {}
    model = options(name, "published", **quick(name), **changes)
    model.fit(data.hide(split.test), split, context(prepared, tmp_path))
    found, turned = (model.predict(one, split.test)[TARGET] for one in (data, swapped(data)))
    assert not np.allclose(found, turned)


def test_components_of_expression_are_no_noise(prepared, data, tmp_path):
    # Centred lines span a dimension less than there are; one more would explode in a new line.
    split = task.split(data, scenario="cell_line", seed=1, settings=SETTINGS)
    model = options("logistic_regression")
    model.fit(data.hide(split.test), split, context(prepared, tmp_path))
    lines = len(set(data.cell[split.train]))
    features = model.features(data, split.test)[:, model.options.bits :]
    assert features.shape[1] == lines - 1
    trained = model.features(data, split.train)[:, model.options.bits :]
    assert (trained.std(0) > 1e-3).all()


def test_protocols_differ_in_named_switches_only():
    honest, published = (
        resolve(get_model(task, "deepdds").Options, protocol, {}, "model")
        for protocol in ("honest", "published")
    )
    assert honest.shape.symmetric
    assert honest.shuffle
    assert not published.shape.symmetric
    assert not published.shuffle
    assert published.shape.cell_scaling == "length"
    assert published.training.monitor == "validation_auroc"
    for name in ("epochs", "batch_size", "learning_rate"):
        assert getattr(honest.training, name) == getattr(published.training, name)


def module_of(data, seed=0, **shape):
    from sclong_tasks.chemistry.graphs import GraphTable, drug_graphs  # noqa: PLC0415
    from sclong_tasks.encoders.slots import TableSlot  # noqa: PLC0415

    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        return CombinationModule(
            NetworkShape(**{**SMALL["shape"], **shape}),
            Schedule(),
            GraphTable(drug_graphs(data.molecules, "deepdds")),
            TableSlot(data.expression.log1p),
        )


def test_each_distinct_drug_and_cell_line_of_a_batch_is_encoded_once(data):
    module, seen = module_of(data), []
    module.drug.register_forward_pre_hook(lambda _, given: seen.append(("drugs", len(given[0]))))
    module.cell.register_forward_pre_hook(lambda _, given: seen.append(("cells", len(given[0]))))
    rows = np.arange(40)
    batch = _columns(data, rows)
    module(batch)
    drugs = len(set(data.first[rows]) | set(data.second[rows]))
    assert seen == [("drugs", drugs), ("cells", len(set(data.cell[rows])))]


def test_a_row_does_not_depend_on_its_batch(data):
    module = module_of(data).eval()
    columns = _columns(data, np.arange(40))
    with torch.inference_mode():
        together = module(columns)
        alone = torch.cat([module({n: c[[row]] for n, c in columns.items()}) for row in range(40)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_network_overfits_one_batch(data):
    module = module_of(data)
    module.scale_by(torch.arange(len(data.expression.cells)))
    batch = _columns(data, data.rows_of("training")[:64])
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    for _ in range(200):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(batch), batch["synergy"])
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02


def test_a_seed_repeats_and_another_differs(prepared, data, tmp_path):
    split = task.split(data, scenario="pair", seed=1, settings=SETTINGS)
    found = []
    for seed in (1, 1, 2):
        model = options("deepdds", **quick("deepdds"))
        model.fit(data.hide(split.test), split, context(prepared, tmp_path, seed))
        found.append(model.predict(data, split.test)[TARGET].to_numpy())
    assert np.array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("deepdds", {}),
        ("random_sclong", {"encoder": {"pool": "gene_mean"}}),
        ("gradient_boosting", {}),
    ],
)
def test_a_planted_signal_is_found_where_the_pair_tells_nothing(
    prepared, data, tmp_path, name, changes
):
    split = task.split(data, scenario="pair", seed=1, settings=SETTINGS)

    def area(name, **changes):
        model = options(name, **changes)
        model.fit(data.hide(split.test), split, context(prepared, tmp_path))
        return auroc(data.synergy[split.test], model.predict(data, split.test)[TARGET]).value

    assert area(name, **changes) > area("pair_prior") + 0.2


def test_a_run_leaves_labels_and_never_sees_test_targets(prepared, tmp_path):
    def run(output, data_folder):
        request = RunRequest(
            "drug_combination", "logistic_regression", 1, data_folder, tmp_path / output,
            device="cpu", changes={"task": {"bootstrap_draws": 5}},
        )  # fmt: skip
        return run_task(request)

    found = run("one", prepared / "data")
    table = pd.read_parquet(found.folder / "predictions.parquet")
    assert {"drug1", "drug2", "cell_line", "screen", TARGET, f"predicted_{TARGET}"} <= set(table)
    write_synthetic_files(tmp_path / "files")
    path = tmp_path / "files/independent_set/independent_input.csv"
    flipped = pd.read_csv(path)
    flipped.assign(label=1 - flipped["label"]).to_csv(path, index=False)
    (tmp_path / "files/independent_set/independent_input_drug_cell.csv").unlink()
    prepare_data(task, tmp_path / "data", str(tmp_path / "files"))
    other = pd.read_parquet(run("two", tmp_path / "data").folder / "predictions.parquet")
    column = f"predicted_{TARGET}"
    np.testing.assert_allclose(table[column], other[column])
    assert (table[TARGET] != other[TARGET]).all()


def test_tables_show_the_columns_that_were_asked_for(prepared, tmp_path):
    request = RunRequest(
        "drug_combination", "drug_prior", 1, prepared / "data", tmp_path / "runs", device="cpu"
    )
    run_task(request)
    rows = read_runs(tmp_path / "runs")
    text = markdown_tables(rows, [1, 2], ["auroc", "auprc"])
    assert "| model | seeds | n | auroc | auprc | 95 % interval | paper | s |" in text
    assert "| drug_prior | 1 (missing: 2) |" in text
    assert "0.652" not in text  # the paper's number stands beside its own data alone
    papers = markdown_tables(rows.assign(data_set="paper"), [1, 2], ["auroc", "auprc"])
    assert "| sclong |  |  |  |  |  | 0.652 |" in papers


def test_new_drugs_and_new_cell_lines_are_predicted(prepared, data, tmp_path):
    changes = {"model": {**SMALL, "training": {**SMALL["training"], "epochs": 1}}}
    request = RunRequest(
        "drug_combination", "sclong", 1, prepared / "data", tmp_path / "runs",
        checkpoint=prepared / "checkpoint", device="cpu",
        changes={**changes, "task": {"bootstrap_draws": 0}},
    )  # fmt: skip
    folder = run_task(request).folder
    (tmp_path / "pairs.csv").write_text("drug1,drug2,cell\nCCCl,drug0,LINE1\nc1ccccc1,CCCl,NEW\n")
    genes = data.expression.genes
    (tmp_path / "new.csv").write_text(
        ",".join(["cell", *genes]) + "\n" + ",".join(["NEW", *["3.5"] * len(genes)]) + "\n"
    )
    inputs = {"pairs": tmp_path / "pairs.csv", "expression": tmp_path / "new.csv"}
    ask = PredictRequest(
        "drug_combination", folder, inputs, prepared / "data", prepared / "checkpoint", device="cpu"
    )
    table = predict(ask)
    assert table["drug1"].tolist() == ["CCCl", "c1ccccc1"]
    assert table[f"predicted_{TARGET}"].between(0, 1).all()
    with pytest.raises(InputError, match="1 cell lines have no expression: NEW"):
        predict(replace(ask, inputs={"pairs": tmp_path / "pairs.csv"}))
    (tmp_path / "pairs.csv").write_text("drug1,drug2,cell\nC1CC,drug0,LINE1\n")
    with pytest.raises(InputError, match=r"RDKit cannot read: C1CC"):
        predict(replace(ask, inputs={"pairs": tmp_path / "pairs.csv"}))
    make_tiny_model(seed=5).save_pretrained(tmp_path / "other")
    (tmp_path / "pairs.csv").write_text("drug1,drug2,cell\nCCCl,drug0,LINE1\n")
    with pytest.raises(InputError, match="not the one that the run was trained with"):
        predict(
            replace(ask, inputs={"pairs": tmp_path / "pairs.csv"}, checkpoint=tmp_path / "other")
        )


def test_every_model_of_the_registry_can_be_made():
    for name in task.models:
        for protocol in ("honest", "published"):
            kind = get_model(task, name)
            kind(resolve(kind.Options, protocol, {}, "model"))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("deepdds", {"shape": {"cell_scaling": "other"}}),
        ("deepdds", {"shape": {"dropout": 1.0}}),
        ("deepdds", {"shape": {"graph": []}}),
        ("deepdds", {"training": {"epochs": "many"}}),
        ("deepdds", {"encoder": {"name": "nobody"}}),
        ("random_forest", {"components": -1}),
        ("pair_prior", {"weight": 0}),
    ],
)
def test_impossible_settings_are_refused(name, changes):
    with pytest.raises(ConfigError):
        resolve(get_model(task, name).Options, "honest", changes, "model")


def test_schedule_goes_up_and_comes_down():
    factor = Schedule(1e-4, epochs=100, warmup=10, final=1e-5).factor
    assert [round(factor(epoch), 3) for epoch in (0, 9, 10, 99)] == [0.1, 1.0, 1.0, 0.1]
    assert Schedule(1e-4, epochs=100).factor(99) == 1.0


def test_batches_are_taken_whole_and_shuffled_by_seed():
    columns = {"a": torch.arange(10), "b": torch.arange(10) * 2}
    plain = list(row_batches(columns, 4))
    assert [batch["a"].tolist() for batch in plain] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    one, same, other = (row_batches(columns, 4, shuffle_seed=seed) for seed in (1, 1, 2))
    orders = [torch.cat([batch["a"] for batch in loader]).tolist() for loader in (one, same, other)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(10))
    for batch in one:
        assert torch.equal(batch["b"], batch["a"] * 2)
