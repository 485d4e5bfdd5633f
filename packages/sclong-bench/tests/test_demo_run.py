"""A whole run on made-up cells: files, equal runs, and what a failure leaves."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import anndata
import numpy as np
import pytest

from sclong_bench.demo import data as demo_data
from sclong_bench.demo import run as demo_run
from sclong_bench.demo.folder import FILES
from sclong_bench.demo.run import main_numbers, run_demo
from sclong_bench.demo.stages import Stages
from sclong_core.manifest import verify_checkpoint


def test_all_files_are_there_and_belong_together(small_demo):
    assert {item.name for item in small_demo.folder.iterdir()} == FILES
    results = json.loads((small_demo.folder / "results.json").read_text())
    info = verify_checkpoint(small_demo.folder / "model")
    assert results["digests"]["checkpoint"] == info.digest
    assert results["digests"]["vocabulary"] == info.vocabulary_digest
    assert results["digests"]["gene graph"] == info.graph_digest
    assert results["cells"] == {"training": 96, "held_out": 24, "genes": 80}


def test_results_name_neither_time_nor_place(small_demo):
    for name in ("results.json", "model/config.json"):
        text = (small_demo.folder / name).read_text()
        assert str(small_demo.folder.parent) not in text
        assert ".tmp-" not in text
        assert "seconds" not in text


def test_embedded_cells_carry_all_spaces(small_demo):
    cells = anndata.read_h5ad(small_demo.folder / "embedded.h5ad")
    shapes = {name: cells.obsm[name].shape for name in cells.obsm}
    assert shapes == {
        "X_sclong": (120, 64),
        "X_pca": (120, 50),
        "X_umap_sclong": (120, 2),
        "X_umap_pca": (120, 2),
    }
    assert np.isfinite(cells.obsm["X_sclong"]).all()
    assert cells.uns["sclong"]["checkpoint_digest"] == small_demo.outcome.digests["checkpoint"]


def test_each_stage_is_said(small_demo):
    stages = [line.split()[0] for line in small_demo.said.splitlines()]
    assert stages == ["cells", "pretraining", "reconstruction", "embedding", "maps"]


def test_the_main_numbers_are_three(small_demo):
    assert [name for name, _ in main_numbers(small_demo.outcome)] == [
        "held-out R2",
        "cell types",
        "time",
    ]


@pytest.fixture
def made_up(small_demo, monkeypatch):
    cells = small_demo.outcome.data.cells
    monkeypatch.setattr(demo_data, "load_cells", cells.copy)


def test_the_same_seed_gives_the_same_files(small_demo, small_settings, made_up, tmp_path):
    run_demo(tmp_path / "again", small_settings, command="x", stages=Stages())
    for name in ("results.json", "model/config.json", "model/model.safetensors"):
        first, second = (folder / name for folder in (small_demo.folder, tmp_path / "again"))
        assert first.read_bytes() == second.read_bytes(), name


RUN_AGAIN = """
import json
import sys
from pathlib import Path

import anndata

from sclong_bench.demo import data
from sclong_bench.demo.run import run_demo
from sclong_bench.demo.settings import DemoSettings
from sclong_bench.demo.stages import Stages

cells, output, settings = sys.argv[1:]
data.load_cells = lambda: anndata.read_h5ad(cells)
settings = DemoSettings(**json.loads(settings))
run_demo(Path(output), settings, command="x", stages=Stages())
"""


def test_another_process_gives_the_same_files(small_demo, small_settings, tmp_path):
    cells, again = tmp_path / "cells.h5ad", tmp_path / "again"
    small_demo.outcome.data.cells.write_h5ad(cells)
    words = [str(cells), str(again), json.dumps(small_settings.to_dict())]
    subprocess.run(
        [sys.executable, "-c", RUN_AGAIN, *words],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    for name in ("results.json", "model/config.json", "model/model.safetensors"):
        first, second = (folder / name for folder in (small_demo.folder, again))
        assert first.read_bytes() == second.read_bytes(), name


@pytest.mark.parametrize("part", ["pretrain", "umap", "write_page"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(
    small_demo, small_settings, made_up, tmp_path, monkeypatch, part, error
):
    def pretrained(data, folder, settings, advance):
        shutil.copytree(small_demo.folder / "model", folder / "model")
        return replace(small_demo.outcome.training, model_folder=folder / "model")

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(demo_run, "pretrain", pretrained)
    monkeypatch.setattr(demo_run, part, fail)
    with pytest.raises(error):
        run_demo(tmp_path / "demo", small_settings, command="x", stages=Stages())
    assert not list(tmp_path.iterdir())
