"""The suite of published models: every one in every task that takes an encoder, in one report."""

from functools import cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from sclong_bench.suites.suite import read_suite
from sclong_core.cli.main import main
from sclong_core.config import ScLongConfig
from sclong_core.errors import ConfigError
from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.chemical_perturbation import example as chemical
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_response import example as response
from sclong_tasks.encoders.names import PUBLISHED
from sclong_tasks.encoders.sclong import random_sclong
from sclong_tasks.encoders.tiny import write_tiny
from sclong_tasks.genetic_perturbation import example as screen
from sclong_tasks.grn.example import NetworkSizes, write_network_files
from sclong_tasks.marker_clustering import example as markers
from sclong_tasks.registry import get_task
from sclong_tasks.run import RunRequest, run_task
from sclong_tasks.settings import resolve

SUITE = files("sclong_bench").joinpath("suites/encoders.yaml")
NAMES = ("sclong", *PUBLISHED)
TRAINED = ("drug_response", "chemical_perturbation", "genetic_perturbation")
SMALL = {
    "chemical_perturbation": {"top_genes": 2, "bootstrap": 0},
    "drug_response": {"bootstrap": 0},
    "genetic_perturbation": {"bootstrap": 0},
    "marker_clustering": {"cells": 12, "draws": 20, "bootstrap": 0},
}
"""Settings of tasks for data as small as these; without them the suite is as it is shipped."""


def write_batches(folder: Path) -> None:
    generator = np.random.default_rng(0)
    names = [f"GENE{number}" for number in range(30)]
    kinds, batches = np.tile(["a", "b"], 20), np.repeat(["1", "2"], 20)
    rates = generator.gamma(1.0, 3.0, (2, 30))[(kinds == "b").astype(int)]
    obs = pd.DataFrame(
        {"batch": batches, "cell_type": kinds}, index=[f"cell {number}" for number in range(40)]
    )
    counts = generator.poisson(rates + 0.5).astype(np.float32)
    folder.mkdir(parents=True)
    anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=names)).write_h5ad(folder / "c.h5ad")


def write_sources(folder: Path) -> dict[str, Path]:
    write_batches(folder / "batch_integration")
    response.write_example(folder / "drug_response", lines=14, genes=8)
    chemical.write_example(folder / "chemical_perturbation", drugs=14, genes=6)
    write_network_files(folder / "grn", NetworkSizes(factors=4, genes=14, cells=20))
    markers.write_marker_example(folder / "marker_clustering")
    sizes = screen.ExampleSizes(genes_per_module=6, perturbed_per_module=2, cells=3)
    screen.write_gears_example(folder / "genetic_perturbation", sizes)
    places = {path.name: path for path in sorted(folder.iterdir())}
    places["batch_integration"] /= "c.h5ad"
    return places


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data of six tasks, tiny checkpoints that know their genes, and the suite over both."""
    root = tmp_path_factory.mktemp("encoders")
    for name, source in write_sources(root / "sources").items():
        prepare_data(get_task(name), root / "data" / name, str(source))
    names = dict.fromkeys(
        name for task in PREPARED for name in genes_of(task, root / "data" / task)
    )
    others = iter(synthetic_gene_ids(2000)[1000:])
    genes = {name if name.startswith("ENSG") else next(others): name for name in names}
    for name in PUBLISHED:
        write_tiny(name, root / "encoders" / name, genes)
    config = ScLongConfig.preset("tiny", genes=len(names))
    model = random_sclong(config, GeneVocabulary.from_ids(list(names)), seed=0)
    model.save_pretrained(root / "encoders" / "sclong")
    suite = yaml.safe_load(SUITE.read_text(encoding="utf-8"))
    suite |= {"seeds": [1], "data": str(root / "data"), "output": str(root / "runs")}
    suite["checkpoint"] = str(root / suite["checkpoint"])
    suite["encoders"] = {name: str(root / place) for name, place in suite["encoders"].items()}
    for entry in suite["runs"]:
        entry["settings"] = {"task": SMALL.get(entry["task"], {})}
    (root / "suite.yaml").write_text(yaml.safe_dump(suite))
    return root


PREPARED = (
    "batch_integration",
    "drug_response",
    "chemical_perturbation",
    "grn",
    "marker_clustering",
    "genetic_perturbation",
)


def genes_of(name, folder):
    task = get_task(name)
    data = task.load(folder, settings_of(task))
    for place in ("expression", "cells"):
        if hasattr(getattr(data, place, None), "genes"):
            return getattr(data, place).genes
    return data.genes


def settings_of(task):
    return resolve(task.Settings, "honest", SMALL.get(task.name, {}), "task")


def run_it(run, root):
    """In this process, with one epoch: a process of its own would take seconds."""
    changes = {part: dict(values) for part, values in run.settings.items()}
    if run.task in TRAINED:
        changes.setdefault("model", {})["training"] = {"epochs": 1}
    request = RunRequest(
        task=run.task,
        model=run.model,
        seed=run.seed,
        data=run.data,
        output=run.folder,
        checkpoint=run.checkpoint,
        changes=changes,
        cache=root / "cache",
        device="cpu",
    )
    return run_task(request)


@pytest.fixture(scope="module")
def runs(world):
    """What came of the six encoders in a task; run when first asked for."""

    @cache
    def run(task):
        cells = [one for one in read_suite(world / "suite.yaml").runs if one.task == task]
        return {run.model: run_it(run, world) for run in cells if run.model in NAMES}

    return run


@pytest.mark.slow
@pytest.mark.parametrize("task", PREPARED)
def test_every_encoder_runs_in_every_task(runs, task):
    found = runs(task)
    assert set(found) == set(NAMES)
    for result in found.values():
        assert result.metrics
        assert all(np.isfinite(metric.value) for metric in result.metrics)
    tables = {name: read_predictions(result.folder) for name, result in found.items()}
    for one, other in combinations(NAMES, 2):  # each is a model of its own
        assert tables[one] is None or not tables[one].equals(tables[other]), (one, other)


def read_predictions(folder):
    found = pd.read_parquet(folder / "predictions.parquet")
    found = found[[name for name in found if name.startswith("predicted_")]]
    return found if found.size else None


@pytest.mark.slow
def test_the_report_shows_every_encoder_in_every_task(runs, world, tmp_path, capsys):
    for task in PREPARED:
        runs(task)
    page = tmp_path / "report.html"
    given = (str(world / "runs"), "-o", str(page), "--format", "html", "csv")
    assert main(["bench", "report", *given]) == 0
    capsys.readouterr()
    html = page.read_text(encoding="utf-8")
    table = pd.read_csv(tmp_path / "report.models.csv")
    own = table[table["n_seeds"] > 0]
    for task in PREPARED:
        labels = {label.removesuffix(" (frozen, channel_mean)") for label in models_of(own, task)}
        assert labels == set(NAMES), task
    assert all(name in html for name in (*NAMES, *PREPARED))


def models_of(table, task):
    return set(table.loc[table["task"].eq(task), "model"])


def test_the_suite_names_folders_and_content_of_folders_counts(world, tmp_path):
    suite = read_suite(world / "suite.yaml")
    (run,) = [run for run in suite.runs if (run.task, run.model) == ("drug_response", "uce")]
    assert run.settings["model"]["encoder"]["path"] == str(world / "encoders" / "uce")
    content = yaml.safe_load((world / "suite.yaml").read_text())
    write_tiny("uce", tmp_path / "other", {"ENSG00000000001": "A", "ENSG00000000002": "B"})
    content["encoders"]["uce"] = str(tmp_path / "other")
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content))
    changed = read_suite(tmp_path / "suite.yaml")
    same = {run.folder for run in suite.runs} & {run.folder for run in changed.runs}
    assert {run.model for run in suite.runs if run.folder not in same} == {"uce"}
    del content["encoders"]["uce"]
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match="uce needs the folder of its files"):
        read_suite(tmp_path / "suite.yaml")
    content["encoders"]["uce"] = str(tmp_path / "nowhere")
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match="holds no files of a published model"):
        read_suite(tmp_path / "suite.yaml")
