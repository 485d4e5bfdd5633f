"""A run that is killed and started again ends as one that never was. Every kill is real."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sclong_core.pretraining.checkpoint_io import verify
from sclong_core.pretraining.checkpointing import STOPPED
from tests.support.training import NETWORK_OPTIONS, write_cells

# Each run is a process of its own, forked from one that has imported what all of them need.
DRIVER = """
import contextlib, json, os, sys
from pathlib import Path
import sclong_core.pretraining.cli, tests.support.training
from performer_pytorch import performer_pytorch
from sclong_core.cli.main import main

def run(words, output):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 2)
    os._exit(main(words))

steps = json.loads(sys.argv[1])
sys.argv = ["sclong"]
for number, step in enumerate(steps):
    if "damage" in step:
        path = Path(step["damage"])
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        step["status"] = run(step["words"], step["output"])
print(json.dumps(steps))
"""
TESTING = "tests.support.training"
EPOCHS, BATCHES = 3, 14
"""Epochs of a run and batches of an epoch: 56 to 59 cells for training, 4 a batch."""
STEPS = EPOCHS * BATCHES
KILLS = (
    {"batch": 2},  # before any checkpoint
    {"batch": 7},  # in the middle of an epoch
    {"batch": 13},  # with the last batch of an epoch
    {"batch": 14, "after_save": True},  # right after a checkpoint
    {"batch": 33},
)
# In the middle of a step: they are of 3 batches, and one of 2 at the end of an epoch.
SIGNALS = {signal.SIGTERM: 10, signal.SIGUSR1: 25}
PLACES = ("file", "rename", "record")


class Runs:
    """Commands to be run one after the other, and what they left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = write_cells(folder / "cells.h5ad")
        self.steps: list[dict] = []

    def add(self, run: str, *options: str, fault: dict | None = None) -> None:
        log = {
            "class_path": f"{TESTING}.CellLog",
            "init_args": {"path": str(self.folder / f"{run}.jsonl")},
        }
        words = [
            "pretrain",
            "fit",
            "--config=tiny",
            *NETWORK_OPTIONS,
            f"--data.path={self.cells}",
            "--data.batch_size=4",
            f"--trainer.default_root_dir={self.folder / run}",
            "--trainer.accelerator=cpu",
            f"--trainer.max_epochs={EPOCHS}",
            "--trainer.enable_progress_bar=false",
            "--model.feature_redraw_interval=10",
            "--checkpoints.every_n_steps=5",
            f"--trainer.callbacks={json.dumps([log, *([fault] if fault else [])])}",
            *options,
        ]
        output = str(self.folder / f"output{len(self.steps)}")
        self.steps.append({"run": run, "words": words, "output": output})

    def fault(self, name: str, **settings: object) -> dict:
        witness = str(self.folder / f"fired{len(self.steps)}")
        return {"class_path": f"{TESTING}.{name}", "init_args": {"witness": witness, **settings}}

    def start(self) -> None:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", DRIVER, json.dumps(self.steps)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        self.steps = json.loads(done.stdout.splitlines()[-1])

    def of(self, run: str) -> tuple[list[int], list[str]]:
        """Statuses and outputs of the commands of a run."""
        steps = [step for step in self.steps if step.get("run") == run]
        return [s["status"] for s in steps], [Path(s["output"]).read_text() for s in steps]

    def log(self, run: str) -> dict[int, list]:
        """The last thing that a run did as each of its batches."""
        lines = (self.folder / f"{run}.jsonl").read_text().splitlines()
        return {batch: rest for batch, *rest in map(json.loads, lines)}

    def model(self, run: str) -> dict[str, bytes]:
        folder = self.folder / run / "model"
        return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    runs = Runs(tmp_path_factory.mktemp("runs"))
    runs.add("straight")
    for number, kill in enumerate(KILLS):
        # Who reads is not part of what is computed.
        fault = runs.fault("KillAtBatch", **kill)
        runs.add("killed", f"--data.num_workers={number % 2 * 2}", fault=fault)
    runs.add("killed")
    for place in PLACES:
        runs.add(place, fault=runs.fault("KillInSave", step=10, place=place))
        runs.add(place)
    for number, batch in SIGNALS.items():
        fault = runs.fault("SignalAtBatch", batch=batch, number=int(number))
        runs.add("stopped", "--trainer.accumulate_grad_batches=3", fault=fault)
    runs.add("stopped", "--trainer.accumulate_grad_batches=3")
    runs.add("accumulated", "--trainer.accumulate_grad_batches=3")
    often = ("--trainer.accumulate_grad_batches=3", "--checkpoints.every_n_steps=2")
    runs.add(
        "amid", *often, fault=runs.fault("SignalAtBatch", batch=10, number=int(signal.SIGTERM))
    )
    runs.add("amid", *often, fault=runs.fault("KillAtBatch", batch=12, after_save=True))
    runs.add("amid", *often)
    runs.add("longer", "--trainer.max_epochs=1")
    runs.add("longer")
    runs.add("longer")
    runs.steps.append(
        {"damage": str(runs.folder / "longer" / "checkpoints" / f"step={STEPS}.ckpt")}
    )
    runs.add("longer")
    runs.add("longer", f"--ckpt_path={runs.cells}")
    runs.start()
    return runs


def assert_same_run(runs: Runs, run: str, other: str = "straight") -> None:
    log, straight = runs.log(run), runs.log(other)
    assert list(straight) == list(range(STEPS))
    assert {batch: log[batch] for batch in straight} == straight
    assert runs.model(run) == runs.model(other)


def test_a_run_exports_its_model(runs):
    statuses, outputs = runs.of("straight")
    assert statuses == [0], outputs
    record = json.loads(runs.model("straight")["config.json"])["origin"]
    assert (record["kind"], record["steps"], record["epochs"]) == ("pretraining", STEPS, EPOCHS)
    assert record["seeds"] == {"model": 0, "data": 0}
    assert record["data"]["cells"] == 60
    kept = {path.name for path in (runs.folder / "straight" / "checkpoints").glob("*.ckpt")}
    assert kept == {f"step={step}.ckpt" for step in (30, 35, 40, STEPS)}


@pytest.mark.fault
def test_killed_runs_end_as_one_that_never_was(runs):
    statuses, outputs = runs.of("killed")
    assert statuses == [*[-signal.SIGKILL] * len(KILLS), 0], outputs
    assert sum(path.name.startswith("fired") for path in runs.folder.iterdir()) == (
        len(KILLS) + len(PLACES) + len(SIGNALS) + 2
    )
    assert_same_run(runs, "killed")


@pytest.mark.fault
@pytest.mark.parametrize("place", PLACES)
def test_a_kill_while_a_checkpoint_is_written_costs_nothing(runs, place):
    statuses, outputs = runs.of(place)
    assert statuses == [-signal.SIGKILL, 0], outputs
    assert "going on from" in outputs[1]
    assert "step=5.ckpt" in outputs[1]
    assert_same_run(runs, place)
    assert not list((runs.folder / place / "checkpoints").glob(".*"))


@pytest.mark.fault
def test_a_run_that_is_asked_to_stop_does_so_after_a_step_and_goes_on(runs):
    statuses, outputs = runs.of("stopped")
    assert statuses == [STOPPED, STOPPED, 0], outputs
    assert "step=4.ckpt" in outputs[1]
    assert "step=9.ckpt" in outputs[2]
    assert_same_run(runs, "stopped", "accumulated")


@pytest.mark.fault
def test_a_run_that_went_on_keeps_its_checkpoint_until_the_next_step_is_whole(runs):
    statuses, outputs = runs.of("amid")
    assert statuses == [STOPPED, -signal.SIGKILL, 0], outputs
    assert all("step=4.ckpt" in output for output in outputs[1:])
    assert_same_run(runs, "amid", "accumulated")


def test_a_finished_run_goes_on_when_it_is_to_be_longer_and_else_says_so(runs):
    statuses, outputs = runs.of("longer")
    assert statuses[:3] == [0, 0, 0], outputs
    assert_same_run(runs, "longer")
    assert "is already finished" not in outputs[1]
    assert "is already finished" in outputs[2]


@pytest.mark.fault
def test_a_damaged_checkpoint_is_skipped_and_said(runs):
    statuses, outputs = runs.of("longer")
    assert statuses[3] == 0, outputs
    assert f"step={STEPS}.ckpt has SHA-256" in outputs[3]
    assert "step=40.ckpt" in outputs[3]
    assert verify(runs.folder / "longer" / "checkpoints" / f"step={STEPS}.ckpt").step == STEPS


def test_a_file_that_is_asked_for_and_is_no_checkpoint_is_refused(runs):
    statuses, outputs = runs.of("longer")
    assert statuses[4] == 2
    last = outputs[4].splitlines()[-1]
    assert last == f"error: {runs.cells} has no record: it is incomplete"
