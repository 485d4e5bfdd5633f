"""One run of a suite on disk: its folder, its state, and the process that makes it."""

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from sclong_bench.suites.suite import GridRun
from sclong_core.checkpoint_names import checkpoint_word
from sclong_core.children import own_environment, run_child
from sclong_core.errors import InputError
from sclong_core.files import atomic_file, read_json, write_json
from sclong_core.lock import LockedError, locked
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
class RunOutcome:
    """What came of a run."""

    run: GridRun
    state: Literal["done", "failed", "elsewhere"]
    """"elsewhere" is done by another runner at this moment."""
    seconds: float
    reason: str = ""
    """Why it failed."""


def state_of(run: GridRun) -> State:
    """What is there of a run."""
    if metrics_of(run) is not None:
        return "done"
    return "failed" if (run.folder / FAILED).is_file() else "missing"


def metrics_of(run: GridRun) -> Path | None:
    """The results of a run that is done: its folder appears whole or not at all."""
    return next(iter(finished_runs(run.folder)), None)


def seconds_of(run: GridRun) -> float | None:
    """How long a run that is done took.

    Raises:
        InputError: its results are damaged.
    """
    path = metrics_of(run)
    if path is None:
        return None
    try:
        rows = read_json(path)["rows"]
        return float(rows[0]["wall_seconds"]) if rows else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: remove {path.parent} to make the run again ({error!r})"
        ) from error


def command_of(run: GridRun) -> list[str]:
    """The command that makes a run."""
    words = ["task", "run", run.task, "--model", run.base or run.model]
    words += ["--name", run.model] if run.base else []
    words += ["--seed", str(run.seed)]
    words += ["--protocol", run.protocol, "--scenario", run.scenario]
    words += ["--data", str(run.data), "--output", str(run.folder)]
    words += ["--config", str(run.folder / _SETTINGS)] if run.settings else []
    if run.checkpoint is not None:
        words += ["--checkpoint", checkpoint_word(run.checkpoint)]
    # Representations are computed once for all runs of the task.
    return [*words, "--cache", str(run.folder.parent / "cache")]


def make(run: GridRun, *, threads: int | None = None) -> RunOutcome:
    """Make a run in a process of its own, unless another runner is at it.

    Args:
        run: the run.
        threads: that the process may use; all cores by default.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(run.folder / _LOCK, run.name) as lock:
            if state_of(run) == "done":
                return RunOutcome(run, "done", seconds_of(run) or 0.0)
            return _make(run, threads, lock)
    except LockedError:
        return RunOutcome(run, "elsewhere", 0.0)


def _make(run: GridRun, threads: int | None, lock: int) -> RunOutcome:
    start = time.monotonic()
    (run.folder / FAILED).unlink(missing_ok=True)
    for leftover in run.folder.glob(".*.tmp-*"):  # of a run that was killed: the lock is ours
        shutil.rmtree(leftover)
    if run.settings:
        with atomic_file(run.folder / _SETTINGS) as temporary:
            temporary.write_text(yaml.safe_dump(dict(run.settings)), encoding="utf-8")
    with (run.folder / LOG).open("wb") as log:
        status = run_child(
            command_of(run),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=own_environment(**({} if threads is None else {"OMP_NUM_THREADS": str(threads)})),
            pass_fds=(lock,),  # what a killed runner was at is not begun a second time
        )
    seconds = time.monotonic() - start
    if status == 0 and metrics_of(run) is not None:
        return RunOutcome(run, "done", seconds)
    if status in (-signal.SIGINT, 130):
        raise KeyboardInterrupt
    reason = _reason(run.folder / LOG, status)
    about = {name: getattr(run, name) for name in ("task", "model", "protocol", "scenario", "seed")}
    write_json(run.folder / FAILED, {**about, "reason": reason, "status": status})
    return RunOutcome(run, "failed", seconds, reason)


def _reason(log: Path, status: int) -> str:
    """What the run said last."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("error: ")] or lines[-_LAST_LINES:]
    return " ".join(said).removeprefix("error: ")[:500] or f"ended with status {status}"
