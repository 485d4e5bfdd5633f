"""One run of a suite on disk: its folder, its state, and the process that makes it."""

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from sclong_bench.suites.suite import Cell
from sclong_core.children import own_environment, run_child
from sclong_core.errors import InputError
from sclong_core.files import atomic_file, read_json, write_json
from sclong_core.lock import LockedError, locked
from sclong_core.packaged import checkpoint_word
from sclong_tasks.results import finished_runs

State = Literal["done", "failed", "missing"]
FAILED = "failed.json"
"""In the folder of a run that failed; a run that is made removes it."""
LOG = "log.txt"
"""What the run said."""
_LOCK = ".lock"
_SETTINGS = "settings.yaml"
_LAST_LINES = 3


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    cell: Cell
    state: Literal["done", "failed", "elsewhere"]
    """"elsewhere" is done by another runner at this moment."""
    seconds: float
    reason: str = ""
    """Why it failed."""


def state_of(cell: Cell) -> State:
    """What is there of a run."""
    if metrics_of(cell) is not None:
        return "done"
    return "failed" if (cell.folder / FAILED).is_file() else "missing"


def metrics_of(cell: Cell) -> Path | None:
    """The results of a run that is done: its folder appears whole or not at all."""
    return next(iter(finished_runs(cell.folder)), None)


def seconds_of(cell: Cell) -> float | None:
    """How long a run that is done took.

    Raises:
        InputError: its results are damaged.
    """
    path = metrics_of(cell)
    if path is None:
        return None
    try:
        rows = read_json(path)["rows"]
        return float(rows[0]["wall_seconds"]) if rows else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: remove {path.parent} to make the run again ({error!r})"
        ) from error


def command_of(cell: Cell) -> list[str]:
    """The command that makes a run."""
    words = ["task", "run", cell.task, "--model", cell.base or cell.model]
    words += ["--name", cell.model] if cell.base else []
    words += ["--seed", str(cell.seed)]
    words += ["--protocol", cell.protocol, "--scenario", cell.scenario]
    words += ["--data", str(cell.data), "--output", str(cell.folder)]
    words += ["--config", str(cell.folder / _SETTINGS)] if cell.settings else []
    if cell.checkpoint is not None:
        words += ["--checkpoint", checkpoint_word(cell.checkpoint)]
    # Representations are computed once for all runs of the task.
    return [*words, "--cache", str(cell.folder.parent / "cache")]


def make(cell: Cell, *, threads: int | None = None) -> Outcome:
    """Make a run in a process of its own, unless another runner is at it.

    Args:
        cell: the run.
        threads: that the process may use; all cores by default.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(cell.folder / _LOCK, cell.name) as lock:
            if state_of(cell) == "done":
                return Outcome(cell, "done", seconds_of(cell) or 0.0)
            return _make(cell, threads, lock)
    except LockedError:
        return Outcome(cell, "elsewhere", 0.0)


def _make(cell: Cell, threads: int | None, lock: int) -> Outcome:
    start = time.monotonic()
    (cell.folder / FAILED).unlink(missing_ok=True)
    for leftover in cell.folder.glob(".*.tmp-*"):  # of a run that was killed: the lock is ours
        shutil.rmtree(leftover)
    if cell.settings:
        with atomic_file(cell.folder / _SETTINGS) as temporary:
            temporary.write_text(yaml.safe_dump(dict(cell.settings)), encoding="utf-8")
    with (cell.folder / LOG).open("wb") as log:
        status = run_child(
            command_of(cell),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=own_environment(**({} if threads is None else {"OMP_NUM_THREADS": str(threads)})),
            pass_fds=(lock,),  # what a killed runner was at is not begun a second time
        )
    seconds = time.monotonic() - start
    if status == 0 and metrics_of(cell) is not None:
        return Outcome(cell, "done", seconds)
    if status in (-signal.SIGINT, 130):
        raise KeyboardInterrupt
    reason = _reason(cell.folder / LOG, status)
    run = {name: getattr(cell, name) for name in ("task", "model", "protocol", "scenario", "seed")}
    write_json(cell.folder / FAILED, {**run, "reason": reason, "status": status})
    return Outcome(cell, "failed", seconds, reason)


def _reason(log: Path, status: int) -> str:
    """What the run said last."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("error: ")] or lines[-_LAST_LINES:]
    return " ".join(said).removeprefix("error: ")[:500] or f"ended with status {status}"
