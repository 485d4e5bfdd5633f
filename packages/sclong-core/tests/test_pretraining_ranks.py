"""Two processes that talk over gloo train as one with twice the batch."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sclong_core.pretraining.checkpoint_io import newest_valid_checkpoint
from sclong_core.pretraining.checkpointing import STOPPED
from tests.support.training import NETWORK_OPTIONS, write_cells

TESTING = "tests.support.training"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of one process with a batch of 8, and of two with 4 each."""
    folder = tmp_path_factory.mktemp("ranks")
    cells = write_cells(folder / "cells.h5ad", cells=61)
    commands = []
    for ranks in (1, 2):
        callbacks = [
            {
                "class_path": f"{TESTING}.GradientLog",
                "init_args": {"path": str(folder / f"{ranks}.npy")},
            }
        ]
        strategy = "auto" if ranks == 1 else "ddp_fork"
        commands.append(
            [
                "pretrain",
                "fit",
                "--config=tiny",
                *NETWORK_OPTIONS,
                f"--data.path={cells}",
                f"--data.batch_size={8 // ranks}",
                "--data.validation_fraction=0.1",
                f"--trainer.default_root_dir={folder / str(ranks)}",
                "--trainer.accelerator=cpu",
                f"--trainer.devices={ranks}",
                f"--trainer.strategy={strategy}",
                "--trainer.max_epochs=1",
                "--trainer.log_every_n_steps=1",
                "--trainer.enable_progress_bar=false",
                f"--trainer.callbacks={json.dumps(callbacks)}",
            ]
        )
    # Forks, so that what all of them import is imported once.
    script = (
        "import json, os, sys, torch_geometric.nn, sclong_core.pretraining.cli\n"
        "from sclong_core.cli.main import main\n"
        "commands = json.loads(sys.argv[1]); sys.argv = ['sclong']\n"
        "for words in commands:\n"
        "    child = os.fork()\n"
        "    if not child: os._exit(main(words))\n"
        "    assert os.waitpid(child, 0)[1] == 0, words\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.fault
def test_a_signal_to_a_process_that_lightning_started_stops_all_with_a_checkpoint(tmp_path):
    cells = write_cells(tmp_path / "cells.h5ad")
    callbacks = [
        {
            "class_path": f"{TESTING}.SignalAtBatch",
            "init_args": {"batch": 3, "rank": 1, "witness": str(tmp_path / "fired")},
        }
    ]
    words = [
        "pretrain",
        "fit",
        "--config=tiny",
        *NETWORK_OPTIONS,
        f"--data.path={cells}",
        "--data.batch_size=4",
        f"--trainer.default_root_dir={tmp_path / 'run'}",
        "--trainer.accelerator=cpu",
        "--trainer.devices=2",
        "--trainer.strategy=ddp",
        "--trainer.max_epochs=1",
        "--trainer.enable_progress_bar=false",
        f"--trainer.callbacks={json.dumps(callbacks)}",
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "sclong_core", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == STOPPED, done.stderr
    assert (tmp_path / "fired").exists()
    assert newest_valid_checkpoint(tmp_path / "run" / "checkpoints").name == "step=4.ckpt"


def figures(folder, ranks):
    with (folder / str(ranks) / "logs" / "version_0" / "metrics.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    return {
        name: [float(row[name]) for row in rows if row[name]]
        for name in rows[0]
        if name.startswith(("val/", "train/loss"))
    }


def test_gradients_are_those_of_one_process(folder):
    one, two = (np.load(folder / f"{ranks}.npy") for ranks in (1, 2))
    norm = np.linalg.norm(one, axis=1, keepdims=True)
    assert one.shape[0] == 2
    assert np.abs(one - two).max() <= 1e-6 * norm.min()


def test_losses_and_figures_of_validation_are_those_of_one_process(folder):
    one, two = figures(folder, 1), figures(folder, 2)
    assert set(one) == set(two)
    assert {"train/loss", "val/loss", "val/r2_gene_mean"} <= set(one)
    for name, values in one.items():
        assert two[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


def test_the_exported_models_agree(folder):
    models = [folder / str(ranks) / "model" / "model.safetensors" for ranks in (1, 2)]
    assert models[0].stat().st_size == models[1].stat().st_size
