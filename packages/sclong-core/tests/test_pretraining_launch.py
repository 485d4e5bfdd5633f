"""Runs that another program starts: what was started decides how many processes train."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from sclong_core.pretraining.launch import apply_launch
from tests.support.training import NETWORK_OPTIONS, write_cells

BIN = Path(sys.executable).parent


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in (
        "SLURM_JOB_ID",
        "SLURM_STEP_ID",
        "SLURM_NTASKS_PER_NODE",  # set by what is tested
        "TORCHELASTIC_RUN_ID",
    ):
        monkeypatch.setenv(name, "")  # so that it is put back whatever the test does with it
        monkeypatch.delenv(name)


def trainer(**settings):
    return {"num_nodes": 1, "devices": 1, "plugins": [], **settings}


def test_a_run_that_nothing_launched_is_left_alone():
    arguments = trainer(devices=2)
    apply_launch(arguments)
    assert arguments == trainer(devices=2)


def test_srun_decides_and_lightning_does_not_requeue(monkeypatch, caplog):
    for name, value in {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
        "SLURM_JOB_NAME": "x",
        "SLURM_NTASKS": "6",
        "SLURM_STEP_NUM_NODES": "3",
        "SLURM_STEP_TASKS_PER_NODE": "2(x3)",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    arguments = trainer()
    with caplog.at_level("INFO", "sclong"):
        apply_launch(arguments)
    assert (arguments["num_nodes"], arguments["devices"]) == (3, 2)
    (environment,) = arguments["plugins"]
    assert isinstance(environment, SLURMEnvironment)
    assert not environment.auto_requeue
    assert "srun started 3 x 2 processes" in caplog.text


def test_a_batch_script_without_srun_waits_for_nobody(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    arguments = trainer()
    apply_launch(arguments)
    assert isinstance(arguments["plugins"][0], LightningEnvironment)


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ["torchrun", "--standalone", "--nproc-per-node=2"],
        ["fabric", "run", "--accelerator=cpu", "--devices=2"],
    ],
    ids=["torchrun", "fabric run"],
)
def test_a_launcher_starts_two_ranks_of_one_run(launcher, tmp_path):
    cells = write_cells(tmp_path / "cells.h5ad")
    program, *options = launcher
    done = subprocess.run(
        [
            BIN / program,
            *options,
            BIN / "sclong",
            "pretrain",
            "fit",
            "--config=tiny",
            *NETWORK_OPTIONS,
            f"--data.path={cells}",
            "--data.batch_size=4",
            "--trainer.accelerator=cpu",
            "--trainer.strategy=ddp",
            "--trainer.max_epochs=1",
            "--trainer.enable_progress_bar=false",
            f"--trainer.default_root_dir={tmp_path / 'run'}",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "torchrun started 1 x 2 processes" in done.stderr
    assert done.stderr.count("an epoch has 7 batches of 8 cells") == 1
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
