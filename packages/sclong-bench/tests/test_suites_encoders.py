"""The suite of published models: every one in every task that takes an encoder, in one report."""

from importlib.resources import files
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from sclong_bench.report.evidence import gather
from sclong_bench.results.reading import read_results
from sclong_bench.suites.suite import read_suite
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
from sclong_tasks.grn.synthetic import NetworkSizes, write_network_files
from sclong_tasks.marker_clustering import example as markers
from sclong_tasks.registry import get_task
from sclong_tasks.run import RunRequest, run_task
from sclong_tasks.settings import defaults

SUITE = files("sclong_bench").joinpath("suites/encoders.yaml")
TRAINED = ("drug_response", "chemical_perturbation", "grn", "genetic_perturbation")
SETTINGS = {"marker_clustering": {"markers": "sctype", "cells": 20}}


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
    screen.write_gears_example(folder / "genetic_perturbation")
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
    settings = defaults(task.Settings, "honest")
    for name, value in SETTINGS.get(task.name, {}).items():
        if hasattr(settings, name):
            setattr(settings, name, value)
    return settings


def run_cell(cell, root):
    """In this process, with one epoch: a process of its own would take seconds."""
    changes = {part: dict(values) for part, values in cell.settings.items()}
    if cell.task in TRAINED and "training" in vars(model_options(cell)):
        changes.setdefault("model", {})["training"] = {"epochs": 1}
    request = RunRequest(
        task=cell.task,
        model=cell.model,
        seed=cell.seed,
        data=cell.data,
        output=cell.folder,
        checkpoint=cell.checkpoint,
        changes=changes,
        cache=root / "cache",
        device="cpu",
    )
    return run_task(request)


def model_options(cell):
    from sclong_tasks.registry import get_model  # noqa: PLC0415  # only here

    return defaults(get_model(get_task(cell.task), cell.model).Options, "honest")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["grn", "marker_clustering"])
def test_every_encoder_runs_and_stands_in_the_report(world, task):
    suite = read_suite(world / "suite.yaml")
    cells = [cell for cell in suite.cells if cell.task == task]
    assert {*PUBLISHED, "sclong"} <= {cell.model for cell in cells}
    for cell in cells:
        if cell.model in {*PUBLISHED, "sclong"}:
            result = run_cell(cell, world)
            assert all(np.isfinite(metric.value) for metric in result.metrics)
    evidence = gather(read_results(world / "runs" / task))
    (setting, *_) = evidence.main_settings(task)
    lines = {line.label: line for line in setting.lines}
    for name in (*PUBLISHED, "sclong"):
        assert lines[name].mean is not None, name


def test_the_suite_names_folders_and_content_of_folders_counts(world, tmp_path):
    suite = read_suite(world / "suite.yaml")
    (cell,) = [cell for cell in suite.cells if (cell.task, cell.model) == ("drug_response", "uce")]
    assert cell.settings["model"]["encoder"]["path"] == str(world / "encoders" / "uce")
    content = yaml.safe_load((world / "suite.yaml").read_text())
    write_tiny("uce", tmp_path / "other", {"ENSG00000000001": "A", "ENSG00000000002": "B"})
    content["encoders"]["uce"] = str(tmp_path / "other")
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content))
    changed = read_suite(tmp_path / "suite.yaml")
    same = {cell.folder for cell in suite.cells} & {cell.folder for cell in changed.cells}
    assert {cell.model for cell in suite.cells if cell.folder not in same} == {"uce"}
    del content["encoders"]["uce"]
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match="uce needs the folder of its files"):
        read_suite(tmp_path / "suite.yaml")
    content["encoders"]["uce"] = str(tmp_path / "nowhere")
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match="holds no files of a published model"):
        read_suite(tmp_path / "suite.yaml")
