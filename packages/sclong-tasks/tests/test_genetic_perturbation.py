"""The task through its commands: data, run, predict; leaks, strata and the ceiling."""

import json

import numpy as np
import pandas as pd
import pytest

from sclong_core.cli.main import main
from sclong_tasks.data_files import prepare_data
from sclong_tasks.genetic_perturbation import evaluation, task
from sclong_tasks.genetic_perturbation.config import GeneticPerturbationSettings
from sclong_tasks.genetic_perturbation.example import write_counts_example, write_gears_example
from sclong_tasks.registry import get_model
from sclong_tasks.results import read_runs
from sclong_tasks.run import RunRequest, run_task
from tests.support.places import shared_folder

SIMPLE = (
    "additive", "linear", "matching_mean", "perturbed_mean", "training_mean", "no_change",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("task")
    write_gears_example(root / "source")
    prepare_data(task, root / "data", str(root / "source"))
    return root / "data"


def load(folder, protocol="honest", **changes):
    settings = GeneticPerturbationSettings.for_protocol(protocol)
    for name, value in changes.items():
        setattr(settings, name, value)
    return task.load(folder, settings), settings


def run(folder, output, model, **changes):
    return run_task(RunRequest("genetic_perturbation", model, 0, folder, output, **changes))


def values(result, stratum="all"):
    return {one.name: one.value for one in result.metrics if one.stratum == stratum}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("protocol", ["honest", "published"])
def test_no_training_condition_holds_a_gene_that_is_held_out(folder, protocol, seed):
    data, settings = load(folder, protocol)
    split = task.split(data, scenario="simulation", seed=seed, settings=settings)
    assert split.seed == (1 if protocol == "published" else seed)
    test_singles = {data.targets[row] for row in split.test if len(data.targets[row]) == 1}
    known = {gene for row in (*split.train, *split.validation) for gene in data.targets[row]}
    assert test_singles
    assert not {gene for (gene,) in test_singles} & known
    assert sum(split.sizes().values()) == len(data.table)


def test_strata_are_by_how_many_genes_were_seen(folder, tmp_path):
    data, settings = load(folder)
    split = task.split(data, scenario="simulation", seed=0, settings=settings)
    truth = data.truth.iloc[split.test]
    found = task.evaluate(data, truth, split, settings)
    counts = {one.stratum: one.n for one in found if one.name == "mse_de"}
    assert counts.pop("all") == len(split.test) == sum(counts.values())
    assert {"seen 0/1", "seen 1/2"} <= set(counts) <= {
        "seen 0/1", "seen 0/2", "seen 1/2", "seen 2/2",
    }  # fmt: skip
    perfect = {one.name: one for one in found if one.stratum == "all"}
    assert perfect["mse"].value == perfect["wrong_directions_non_zero"].value == 0
    assert perfect["pearson_delta_de_non_dropout"].value == pytest.approx(1)
    assert perfect["centroid_accuracy"].value == pytest.approx(1)
    assert not perfect["ceiling_mse_de"].higher_is_better
    assert 0.5 < perfect["ceiling_pearson_delta_de_non_dropout"].value < 1
    assert evaluation.LOWER


@pytest.mark.parametrize("model", SIMPLE)
@pytest.mark.parametrize("protocol", ["honest", "published"])
def test_every_model_runs_on_files_of_the_original_format(folder, tmp_path, model, protocol):
    result = run(folder, tmp_path, model, protocol=protocol, changes={"task": {"bootstrap": 20}})
    found = values(result)
    assert ("pearson_printed" in found) == (protocol == "published")
    table = pd.read_parquet(result.folder / "predictions.parquet")
    assert {"condition", "M0G0", "predicted_M0G0"} <= set(table.columns)
    assert (result.folder / "figures" / "predicted.svg").is_file()


def test_the_planted_signal_is_found_by_what_can_find_it(folder, tmp_path):
    changes = {"task": {"bootstrap": 0}}
    found = {
        model: values(run(folder, tmp_path, model, changes=changes))
        for model in ("linear", "perturbed_mean", "no_change", "additive")
    }
    assert found["linear"]["mse_de"] < 0.6 * found["perturbed_mean"]["mse_de"]
    assert found["additive"]["mse_de"] < found["no_change"]["mse_de"]
    assert found["linear"]["pearson_against_perturbed"] > 0.5
    assert found["perturbed_mean"]["pearson_against_perturbed"] == 0
    assert found["no_change"]["pearson_delta"] == 0


def test_the_commands_run_predict_and_tell(folder, tmp_path, capsys):
    source = write_counts_example(tmp_path / "source")
    data, runs = tmp_path / "data", tmp_path / "runs"
    name = "genetic_perturbation"
    assert main(["task", "data", name, "--source", str(source), "--data", str(data)]) == 0
    words = ["--data", str(data), "--output", str(runs), "--seed", "0", "1"]
    assert main(["task", "run", name, "--model", "additive", "linear", *words]) == 0
    rows = read_runs(runs)
    assert set(rows["model"]) == {"additive", "linear"}
    assert set(rows["stratum"]) == {"all", "seen 0/1"}
    (tmp_path / "new.csv").write_text("perturbation,note\nM0G0,a\nM1G0+M2G1,b\nNEW,c\n")
    chosen = next(path for path in runs.rglob("additive-*seed0*") if path.is_dir())
    words = ["--data", str(data), "--run", str(chosen), "-o", str(tmp_path / "out.csv")]
    new = str(tmp_path / "new.csv")
    assert main(["task", "predict", name, *words, "--input", f"perturbations={new}"]) == 0
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table["perturbation"]) == ["M0G0", "M1G0+M2G1", "NEW"]
    assert np.isfinite(table.filter(like="predicted_").to_numpy()).all()
    facts = json.loads((chosen / "metrics.json").read_text())["facts"]
    assert facts["genes_perturbed_alone"] > 3


def test_models_are_found_by_name():
    assert [get_model(task, name).__name__ for name in SIMPLE[:2]] == ["Additive", "Linear"]


@pytest.mark.real_data
def test_the_subset_of_papalexi_runs(tmp_path):
    folder = shared_folder("data/perturbation")
    if folder is None:
        pytest.skip("no shared data/perturbation beside the repository")
    prepare_data(task, tmp_path / "data", str(folder / "papalexi_lowmoi_subset.h5ad"))
    result = run(tmp_path / "data", tmp_path / "runs", "perturbed_mean")
    found = {one.name: one for one in result.metrics if one.stratum == "seen 0/1"}
    assert found["mse_de"].n == 7
    assert found["mse_de"].value > found["ceiling_mse_de"].value
