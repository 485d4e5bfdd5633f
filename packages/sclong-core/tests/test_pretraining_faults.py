"""Faults of a run of two processes, of its folder and of its disk; each is real."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed.fsdp

from sclong_core.pretraining.checkpointing import STOPPED
from tests.support.training import NETWORK_OPTIONS, write_cells

pytestmark = pytest.mark.fault

# Each process is forked from one that has imported what all of them need, and has the variables
# that torchrun gives. "second" is a command that is run while the first process stands still.
DRIVER = """
import json, os, signal, socket, sys, time
from pathlib import Path
import torch_geometric.nn, sclong_core.pretraining.cli, tests.support.training
from performer_pytorch import performer_pytorch
from sclong_core.cli.main import main

def start(words, output, variables):
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        os.environ.update(variables)
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 2)
        os._exit(main(words))
    return child

def variables(rank, ranks, port):
    if ranks == 1:
        return {}
    return {"TORCHELASTIC_RUN_ID": "x", "RANK": str(rank), "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}

def end(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

steps = json.loads(sys.argv[1])
sys.argv = ["sclong"]
for step in steps:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = range(step["ranks"])
    began = time.monotonic()
    children = [start(step["words"], step["output"] + str(rank), variables(rank, len(ranks), port))
        for rank in ranks]
    if "second" in step:
        os.waitpid(children[0], os.WUNTRACED)
        step["second"] = end(start(step["words"], step["output"] + "second", {}))
        os.kill(children[0], signal.SIGCONT)
    step["statuses"] = [end(child) for child in children]
    step["seconds"] = time.monotonic() - began
print(json.dumps(steps))
"""
TESTING = "tests.support.training"
CHECKPOINT_BYTES = 100_000
"""Less than a checkpoint of the small network, more than its logs."""
SHARD_BYTES = 10_000
"""Less than what one of two ranks writes."""
PLACES = ("shard", "list", "name", "record")
HAS_SHARDS = hasattr(torch.distributed.fsdp, "fully_shard")
sharded = pytest.mark.skipif(not HAS_SHARDS, reason="FSDP needs PyTorch 2.6 or newer")
PATIENCE = 60
"""Seconds in which the others must notice that a process has gone."""


class Runs:
    """Commands to be run one after the other, and what they left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = write_cells(folder / "cells.h5ad")
        self.steps: list[dict] = []

    def add(
        self, run: str, *options: str, ranks: int = 1, second: bool = False, **faults: dict
    ) -> None:
        callbacks = [
            {"class_path": f"{TESTING}.{name}", "init_args": settings}
            for name, settings in faults.items()
        ]
        for callback in callbacks:
            callback["init_args"]["witness"] = str(self.folder / f"fired{len(self.steps)}")
        words = [
            "pretrain",
            "fit",
            "--config=tiny",
            *NETWORK_OPTIONS,
            f"--data.path={self.cells}",
            f"--data.batch_size={4 // ranks}",
            "--data.num_workers=0",
            f"--trainer.default_root_dir={self.folder / run}",
            "--trainer.accelerator=cpu",
            "--trainer.max_epochs=2",
            "--trainer.accumulate_grad_batches=3",
            "--trainer.enable_progress_bar=false",
            "--checkpoints.every_n_steps=2",
            f"--trainer.callbacks={json.dumps(callbacks)}",
            *options,
        ]
        output = str(self.folder / f"output{len(self.steps)}-")
        step = {"run": run, "ranks": ranks, "words": words, "output": output}
        step["fault"] = bool(faults)
        self.steps.append({**step, "second": None} if second else step)

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

    def of(self, run: str) -> list[dict]:
        """The commands of a run, with what they said."""
        steps = [step for step in self.steps if step["run"] == run]
        for step in steps:
            paths = Path(step["output"]).parent.glob(Path(step["output"]).name + "*")
            step["said"] = {path.name.rpartition("-")[2]: path.read_text() for path in paths}
        return steps

    def model(self, run: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / run / "model").iterdir()}

    def checkpoints(self, run: str) -> set[str]:
        return {path.name for path in (self.folder / run / "checkpoints").iterdir()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    runs = Runs(tmp_path_factory.mktemp("runs"))
    runs.add("straight")
    runs.add("held", second=True, SignalAtBatch={"batch": 4, "number": int(signal.SIGSTOP)})
    runs.add("interrupted", SignalAtBatch={"batch": 10, "number": int(signal.SIGINT)})
    runs.add("interrupted")
    runs.add("full", "--checkpoints.keep=1", FillDisk={"batch": 8, "size": CHECKPOINT_BYTES})
    runs.add("full")
    for_a_while = {"batch": 8, "size": CHECKPOINT_BYTES, "until": 18}
    runs.add("full-a-while", "--checkpoints.keep=1", FillDisk=for_a_while)
    runs.add("straight-2", ranks=2)
    runs.add("full-2", ranks=2, FillDisk={**for_a_while, "until": 14})
    runs.add("stopped-2", ranks=2, SignalAtBatch={"batch": 4, "rank": 0})
    runs.add("stopped-2", ranks=2, SignalAtBatch={"batch": 16, "rank": 1})
    runs.add("stopped-2", ranks=2)
    runs.add("differs-2", ranks=2, SignalAtBatch={"batch": 16, "rank": 0})
    runs.add("differs-2", ranks=2, BadBlock={"rank": 1})
    runs.add("differs-2", ranks=2, LateFiles={"rank": 1})
    runs.add("lost-2", ranks=2, LoseRank={"batch": 10, "rank": 1})
    runs.add("lost-2", ranks=1)
    if HAS_SHARDS:
        shards = ("--trainer.strategy=fsdp",)
        runs.add("straight-shards", *shards, ranks=2)
        for place in PLACES:
            runs.add(
                "killed-shards", *shards, ranks=2, KillInShardedSave={"step": 4, "place": place}
            )
        runs.add("killed-shards", *shards, ranks=2)
        one_disk = {"batch": 8, "until": 14, "rank": 1, "size": SHARD_BYTES}
        runs.add("full-shards", *shards, ranks=2, FillDisk=one_disk)
    runs.start()
    fired = {path.name for path in runs.folder.glob("fired*")}
    assert fired == {f"fired{number}" for number, step in enumerate(runs.steps) if step["fault"]}
    return runs


def test_a_second_run_in_a_folder_is_refused_and_the_first_is_not_disturbed(runs):
    (step,) = runs.of("held")
    assert (step["second"], step["statuses"]) == (2, [0]), step
    said = step["said"]["second"].splitlines()[-1]
    assert said.startswith(f"error: the run in {runs.folder / 'held'} is being written by process")
    assert runs.model("held") == runs.model("straight")


def test_an_interrupted_run_says_so_and_goes_on(runs):
    interrupted, again = runs.of("interrupted")
    assert interrupted["statuses"] == [130], interrupted
    assert interrupted["said"]["0"].splitlines()[-1] == "error: interrupted"
    assert "repeat the command to resume" in interrupted["said"]["0"]
    assert again["statuses"] == [0], again
    assert "going on from" in again["said"]["0"]
    assert runs.model("interrupted") == runs.model("straight")


def test_a_disk_that_fills_ends_the_run_in_one_line_and_costs_only_what_came_since(runs):
    full, again = runs.of("full")
    assert full["statuses"] == [2], full
    assert "Traceback" not in full["said"]["0"]
    said = full["said"]["0"].splitlines()
    assert sum("check that the disk is not full" in line for line in said) == 3
    assert said[-1].startswith("error: ")
    assert "stopping after 3 in a row" in said[-1]
    assert again["statuses"] == [0], again
    assert "step=2.ckpt" in again["said"]["0"]
    assert runs.model("full") == runs.model("straight")


@pytest.mark.parametrize(
    ("run", "straight", "failed"), [("full-a-while", "straight", 2), ("full-2", "straight-2", 1)]
)
def test_checkpoints_that_cannot_be_written_for_a_while_cost_a_warning(runs, run, straight, failed):
    (step,) = runs.of(run)
    assert set(step["statuses"]) == {0}, step
    said = step["said"]["0"].splitlines()
    assert sum(
        line.startswith("WARNING: ") and "continuing, but the run stops" in line for line in said
    ) == (failed)
    assert runs.model(run) == runs.model(straight)


def test_the_newest_checkpoints_are_kept_whatever_failed_between_them(runs):
    kept = {run: runs.checkpoints(run) for run in ("full-a-while", "full-2")}
    assert kept["full-a-while"] == {"step=10.ckpt", "step=10.ckpt.json"}
    assert kept["full-2"] == {
        name for step in (6, 8, 10) for name in (f"step={step}.ckpt", f"step={step}.ckpt.json")
    }


@sharded
def test_a_kill_while_ranks_write_a_checkpoint_together_costs_nothing(runs):
    *killed, last = runs.of("killed-shards")
    assert len(killed) == len(PLACES)
    for place, step, again in zip(PLACES, killed, [*killed[1:], last], strict=True):
        assert -signal.SIGKILL in step["statuses"], (place, step)
        assert 0 not in step["statuses"], (place, step)
        assert "step=2.ckpt" in again["said"]["0"], (place, again)
    assert last["statuses"] == [0, 0], last
    assert runs.model("killed-shards") == runs.model("straight-shards")
    assert runs.checkpoints("killed-shards") == runs.checkpoints("straight-shards")


@sharded
def test_a_rank_that_cannot_write_its_shard_is_named_and_all_go_on(runs):
    (step,) = runs.of("full-shards")
    assert step["statuses"] == [0, 0], step
    warned = [line for line in step["said"]["0"].splitlines() if line.startswith("WARNING: ")]
    assert len(warned) == 1
    assert "step=4.ckpt could not be written: rank 1: " in warned[0]
    assert runs.model("full-shards") == runs.model("straight-shards")


def test_two_processes_that_one_of_is_asked_to_stop_end_as_two_that_were_not(runs):
    first, second, last = runs.of("stopped-2")
    assert first["statuses"] == second["statuses"] == [STOPPED, STOPPED], (first, second)
    assert last["statuses"] == [0, 0], last
    assert "step=2.ckpt" in second["said"]["0"]  # batch 4 of the first is in the second step
    assert runs.model("stopped-2") == runs.model("straight-2")


def test_a_rank_that_reads_other_bytes_is_named_and_all_end(runs):
    _, damaged, _ = runs.of("differs-2")
    assert damaged["statuses"] == [2, 2], damaged
    assert damaged["seconds"] < PATIENCE
    for rank in "01":
        last = damaged["said"][rank].splitlines()[-1]
        assert last.startswith("error: rank 1: ")
        assert "step=6.ckpt has SHA-256" in last


def test_a_rank_that_sees_another_newest_checkpoint_goes_on_from_that_of_the_first(runs):
    *_, late = runs.of("differs-2")
    assert late["statuses"] == [0, 0], late
    assert "going on from" in late["said"]["0"]
    assert "step=6.ckpt" in late["said"]["0"]
    assert runs.model("differs-2") == runs.model("straight-2")


def test_a_lost_process_ends_the_others_and_fewer_go_on(runs):
    lost, again = runs.of("lost-2")
    assert lost["statuses"][1] == 9
    assert lost["statuses"][0] not in (0, None), lost
    assert lost["seconds"] < PATIENCE
    assert again["statuses"] == [0], again
    assert "going on from" in again["said"]["0"]
    assert runs.model("lost-2").keys() == runs.model("straight").keys()
