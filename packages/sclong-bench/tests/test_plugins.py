"""An encoder of one's own, one file, in all tasks, in a suite and in a report."""

import textwrap
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from sclong_bench.report.comparison import gather
from sclong_bench.report.provenance import commands
from sclong_bench.results.reading import read_results
from sclong_bench.suites.grid import command_of
from sclong_bench.suites.suite import read_suite
from sclong_core.errors import ConfigError
from sclong_core.testing import make_tiny_model
from sclong_tasks import registry
from sclong_tasks.chemical_perturbation import example as chemical
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_combination.example import write_synthetic_files
from sclong_tasks.drug_response import example as response
from sclong_tasks.encoders import names
from sclong_tasks.genetic_interactions import example as interactions
from sclong_tasks.genetic_perturbation import example as screen
from sclong_tasks.grn.example import NetworkSizes, write_network_files
from sclong_tasks.marker_clustering import example as markers
from sclong_tasks.models import models_of
from sclong_tasks.named_models import named
from sclong_tasks.registry import TASKS, get_task, task_names
from sclong_tasks.run import RunRequest, run_task

ENCODER = """
import zlib
import numpy as np

class Encoder:
    '''Sums of genes by a hash of their names.'''

    def cells(self, adata):
        return np.asarray(adata.X) @ self.genes(list(adata.var_names))

    def genes(self, names):
        return np.array([np.random.default_rng(zlib.crc32(name.encode())).normal(size=5)
                         for name in names])
"""
ONE_FILE = ("batch_integration", "cell_type_annotation")
ONE_EPOCH = {"mine": {"training": {"epochs": 1}}}
SETTINGS = {
    "drug_response": ONE_EPOCH | {"task": {"bootstrap": 5}},
    "drug_combination": ONE_EPOCH,
    "chemical_perturbation": ONE_EPOCH | {"task": {"top_genes": 2}},
    "grn": ONE_EPOCH,
    "genetic_perturbation": ONE_EPOCH,
    "marker_clustering": {"task": {"markers": "sctype", "cells": 20}},
    "genetic_interactions": {"task": {"bootstrap": 5, "permutations": 20}},
}


def write_batches(folder: Path) -> None:
    generator = np.random.default_rng(0)
    kinds, batches = np.tile(["a", "b"], 20), np.repeat(["1", "2"], 20)
    rates = generator.gamma(1.0, 3.0, (2, 30))[(kinds == "b").astype(int)]
    obs = pd.DataFrame(
        {"batch": batches, "cell_type": kinds}, index=[f"cell {number}" for number in range(40)]
    )
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(30)])
    folder.mkdir(parents=True)
    counts = generator.poisson(rates + 0.5).astype(np.float32)
    anndata.AnnData(counts, obs=obs, var=var).write_h5ad(folder / "c.h5ad")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Made-up data of all tasks."""
    root = tmp_path_factory.mktemp("plugins")
    sources = root / "sources"
    for name in ONE_FILE:
        write_batches(sources / name)
    response.write_example(sources / "drug_response", lines=14, genes=8)
    write_synthetic_files(sources / "drug_combination")
    chemical.write_example(sources / "chemical_perturbation", drugs=14, genes=6)
    write_network_files(sources / "grn", NetworkSizes(factors=4, genes=14, cells=20))
    markers.write_marker_example(sources / "marker_clustering")
    screen.write_gears_example(sources / "genetic_perturbation")
    interactions.write_norman_example(sources / "genetic_interactions")
    for name in TASKS:
        place = sources / name
        place = place / "c.h5ad" if name in ONE_FILE else place
        prepare_data(get_task(name), root / "data" / name, str(place))
    return root / "data"


def write_suite(place, data, runs, **more):
    content = {"seeds": [1], "data": str(data), "output": str(place / "runs"), "runs": runs, **more}
    (place / "suite.yaml").write_text(yaml.safe_dump(content))
    return place / "suite.yaml"


def make(cell, place):
    """As the process of a run does, in this one."""
    model = named(cell.base or cell.model, cell.model if cell.base else "")
    return run_task(
        RunRequest(
            task=cell.task,
            model=model.name,
            base=model.base,
            function=model.function,
            seed=cell.seed,
            data=cell.data,
            output=cell.folder,
            checkpoint=cell.checkpoint,
            changes=cell.settings,
            cache=place / "cache",
            device="cpu",
        )
    )


def test_one_file_is_a_model_of_all_tasks_a_suite_and_a_report(data, tmp_path):
    (tmp_path / "own.py").write_text(ENCODER)
    runs = [
        {"task": task, "models": ["mine"], "settings": SETTINGS.get(task, {})} for task in TASKS
    ]
    path = write_suite(tmp_path, data, runs, models={"mine": f"{tmp_path / 'own.py'}:Encoder"})
    suite = read_suite(path)
    assert {run.task for run in suite.runs} == set(TASKS)
    for run in suite.runs:
        assert any(np.isfinite(one.value) for one in make(run, tmp_path).metrics), run.task
    evidence = gather(read_results(tmp_path / "runs"))
    assert set(evidence.tasks) == set(TASKS)
    assert evidence.roles == {"mine": "model"}
    (line,) = [one for one in commands(evidence) if " grn " in one]
    assert "--model own.py:Encoder --name mine" in line
    assert "model.training.epochs=1" in line
    assert "encoder" not in line


def test_the_content_of_a_file_is_what_a_suite_knows_it_by(data, tmp_path):
    (tmp_path / "own.py").write_text(ENCODER)
    runs = [{"task": "batch_integration", "models": ["mine", "pca"]}]
    path = write_suite(tmp_path, data, runs, models={"mine": f"{tmp_path / 'own.py'}:Encoder"})
    first = {run.model: run for run in read_suite(path).runs}
    words = command_of(first["mine"])
    assert words[words.index("--model") + 1].endswith("own.py:Encoder")
    assert words[words.index("--name") + 1] == "mine"
    assert "--name" not in command_of(first["pca"])
    (tmp_path / "own.py").write_text(ENCODER + "# another\n")
    second = {run.model: run for run in read_suite(path).runs}
    assert first["mine"].folder != second["mine"].folder
    assert first["pca"].folder == second["pca"].folder
    (tmp_path / "own.py").unlink()
    with pytest.raises(ConfigError, match=r"runs 1: .*own\.py is not a file"):
        read_suite(path)


def test_models_of_a_suite_have_settings_of_their_own(data, tmp_path):
    runs = [
        {
            "task": "batch_integration",
            "models": ["few", "pca"],
            "settings": {"few": {"components": 2}, "task": {"bootstrap": 5}},
        }
    ]
    path = write_suite(tmp_path, data, runs, models={"few": "pca"})
    few, plain = read_suite(path).runs
    assert few.settings == {"task": {"bootstrap": 5}, "model": {"components": 2}}
    assert plain.settings == {"task": {"bootstrap": 5}}
    assert (few.base, plain.base) == ("pca", "")
    result = make(few, tmp_path)
    assert len(pd.read_parquet(result.folder / "predictions.parquet").columns) == 3 + 2
    runs[0]["settings"]["other"] = {}
    with pytest.raises(ConfigError, match="setting other: settings begin with"):
        read_suite(write_suite(tmp_path, data, runs, models={"few": "pca"}))


def test_a_checkpoint_is_part_of_the_runs_that_use_it(data, tmp_path):
    make_tiny_model(genes=8).save_pretrained(tmp_path / "checkpoint")
    runs = [{"task": "batch_integration", "models": ["sclong", "pca", "random_sclong"]}]
    without = {run.model: run for run in read_suite(write_suite(tmp_path, data, runs)).runs}
    path = write_suite(tmp_path, data, runs, checkpoint=str(tmp_path / "checkpoint"))
    given = {run.model: run for run in read_suite(path).runs}
    assert given["pca"].folder == without["pca"].folder
    assert given["pca"].checkpoint is None
    for name in ("sclong", "random_sclong"):
        assert given[name].folder != without[name].folder
        assert given[name].checkpoint == tmp_path / "checkpoint"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with an encoder and a task, which this process sees until the end of the test."""
    (tmp_path / "their_package.py").write_text(
        ENCODER
        + textwrap.dedent(
            """
            from sclong_tasks.batch_integration import task as integration

            class Own(type(integration)):
                name = "own_task"
                title = "a task of another package"

            task = Own()
            """
        )
    )
    info = tmp_path / "their_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[sclong.models]\ntheirs = their_package:Encoder\n"
        "[sclong.tasks]\nown_task = their_package\nbroken = their_package:Encoder\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    caches = (names.installed_functions, registry.installed_tasks)
    for one in caches:
        one.cache_clear()
    yield
    for one in caches:
        one.cache_clear()


def test_an_installed_encoder_is_in_all_tasks_and_an_installed_task_in_suites(
    package, data, tmp_path
):
    for name in TASKS:
        spec = models_of(get_task(name))["theirs"]
        assert spec.role == "model"
        assert "installed package" in spec.summary
    assert task_names()[-2:] == ("own_task", "broken")
    with pytest.raises(ConfigError, match=r"'broken' .* does not hold a task"):
        get_task("broken")
    prepare_data(get_task("own_task"), tmp_path / "own_data", str(data / "batch_integration"))
    runs = [{"task": "own_task", "models": ["theirs", "pca"], "data": str(tmp_path / "own_data")}]
    suite = read_suite(write_suite(tmp_path, data, runs))
    for run in suite.runs:
        make(run, tmp_path)
    evidence = gather(read_results(tmp_path / "runs"))
    assert evidence.tasks == ("own_task",)
    assert evidence.roles == {"theirs": "model", "pca": "simple"}
    assert evidence.reference_of("own_task") == "pca"
