"""A run on a corpus that is killed and started again ends as one that never was."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sclong_core.checkpoint import read_checkpoint_info
from sclong_core.cli.main import main
from tests.support.corpora import write_made_up_corpus
from tests.support.training import NETWORK_OPTIONS

# Forks, so that what all of them import is imported once.
DRIVER = """
import json, os, sys
import sclong_core.pretraining.cli, tests.support.training, sclong_data.loading.module
from performer_pytorch import performer_pytorch
from sclong_core.checkpoint import read_checkpoint_info
from sclong_core.cli.main import main
commands = json.loads(sys.argv[1])
sys.argv = ["sclong"]
for words in commands:
    child = os.fork()
    if not child:
        os._exit(main(words))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
TESTING = "tests.support.training"
BATCHES = 17
"""Of an epoch of 99 or 100 training cells, 6 a batch: the last one is filled up."""
KILLS = ({"batch": 3}, {"batch": 9}, {"batch": 17}, {"batch": 20, "after_save": True})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_made_up_corpus(folder / "corpus")
    return folder


def words_of(folder: Path, run: str, *options: str, fault: dict | None = None) -> list[str]:
    log = {
        "class_path": f"{TESTING}.CellLog",
        "init_args": {"path": str(folder / f"{run}.jsonl")},
    }
    return [
        "pretrain",
        "fit",
        "--config=tiny",
        *NETWORK_OPTIONS,
        f"--data.path={folder / 'corpus'}",
        "--data.batch_size=6",
        "--data.shuffle.block_cells=4",
        "--data.shuffle.pool_blocks=5",
        f"--trainer.default_root_dir={folder / run}",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=2",
        "--trainer.enable_progress_bar=false",
        "--checkpoints.every_n_steps=5",
        f"--trainer.callbacks={json.dumps([log, *([fault] if fault else [])])}",
        *options,
    ]


def start(*commands: list[str]) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIVER, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.splitlines() if line.lstrip("-").isdigit()]


def log_of(folder: Path, run: str) -> dict[int, list]:
    """The last thing that a run did as each of its batches."""
    lines = (folder / f"{run}.jsonl").read_text().splitlines()
    return {batch: rest for batch, *rest in map(json.loads, lines)}


@pytest.mark.fault
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(folder):
    commands = [words_of(folder, "straight")]
    for number, kill in enumerate(KILLS):
        witness = str(folder / f"fired{number}")
        fault = {"class_path": f"{TESTING}.KillAtBatch", "init_args": {"witness": witness, **kill}}
        workers = f"--data.num_workers={number % 2 * 2}"
        commands.append(words_of(folder, "killed", workers, fault=fault))
    commands.append(words_of(folder, "killed"))
    assert start(*commands) == [0, *[-signal.SIGKILL] * len(KILLS), 0]
    assert all((folder / f"fired{number}").exists() for number in range(len(KILLS)))
    logs = [log_of(folder, name) for name in ("straight", "killed")]
    assert sorted(logs[0]) == list(range(2 * BATCHES))
    assert logs[1] == logs[0]
    seen = [cell for batch in range(BATCHES) for cell in logs[0][batch][0] if cell >= 0]
    assert len(seen) == len(set(seen)) > 90
    models = [
        {path.name: path.read_bytes() for path in (folder / run / "model").iterdir()}
        for run in ("straight", "killed")
    ]
    assert models[0] == models[1]
    info = read_checkpoint_info(folder / "killed" / "model")
    assert info.origin["data"]["cells"] == 104
    assert info.config.input.maximum == 10.0


@pytest.mark.slow
def test_two_ranks_train_on_the_batches_of_one(folder):
    one = words_of(folder, "one", "--data.batch_size=6")
    two = words_of(
        folder, "two", "--data.batch_size=3", "--trainer.devices=2", "--trainer.strategy=ddp_fork"
    )
    assert start(one, two) == [0, 0]
    logs = {name: {} for name in ("one", "two")}
    for name, log in logs.items():
        for line in (folder / f"{name}.jsonl").read_text().splitlines():
            batch, cells, _ = json.loads(line)
            log.setdefault(batch, []).extend(cells)
    assert len(logs["one"]) == 2 * BATCHES
    assert {b: sorted(c) for b, c in logs["one"].items()} == {
        b: sorted(c) for b, c in logs["two"].items()
    }


def test_a_dry_run_counts_the_cells_of_a_corpus(folder, capsys):
    words = ["pretrain", "fit", "--config=tiny", f"--data.path={folder / 'corpus'}", "--dry-run"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "40, of which" in said
