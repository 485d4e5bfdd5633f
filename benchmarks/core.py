"""Speed and memory of the model beside a plain implementation, in one run.

``python -m benchmarks.core`` leaves out what would take it over ten minutes; ``--full`` does all.
Results go to ``benchmarks/results``: ``core.md`` to read, ``core.json`` with every figure, and
``core.svg``. Nothing is judged: timings depend on the machine and on what else it does.
"""

import argparse
import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import (
    ROOT,
    add_output,
    available_memory,
    current_commit,
    load_average,
    require_quiet,
)
from benchmarks.plan import Comparison, accelerator_plan, loading_plan, plan
from benchmarks.progress import Progress
from benchmarks.report import write_report
from benchmarks.side_by_side import (
    Measurement,
    WorkerError,
    measure_side_by_side,
    measure_starts,
)

TASKS = ("attention", "forward", "training", "loading")
SIZES = ("tiny", "small", "base", "1b")
LOADS = 2
PREPARE_SECONDS = {"tiny": 6.0, "small": 6.0, "base": 8.0, "1b": 45.0}
PREPARE_BYTES = {"tiny": 1e8, "small": 2e8, "base": 9e8, "1b": 6.5e9}
LOADING_SECONDS = 5.0
MINUTES = 10.0
ACCELERATOR_SECONDS = 60.0
ACCELERATOR_REPEATS = 5


class Benchmark:
    """One run: what it found, and what it left out and why."""

    def __init__(  # settings of a user, each by its name
        self, *, full: bool, sizes: tuple[str, ...], tasks: tuple[str, ...], scratch: Path
    ) -> None:
        self._scratch = scratch
        self._sizes = sizes
        reserve = LOADING_SECONDS * LOADS * 2
        self._deadline = math.inf if full else time.monotonic() + MINUTES * 60 - reserve
        self._load = load_average()
        self._machine = _describe_machine()
        self._tasks = tasks
        everything = plan(scratch, full=full, sizes=sizes)
        self._comparisons = [comparison for comparison in everything if comparison.task in tasks]
        planned = sum(comparison.seconds for comparison in self._comparisons)
        planned += sum(PREPARE_SECONDS[size] for size in sizes)
        planned += LOADING_SECONDS * LOADS * 2 if "loading" in tasks else 0
        planned += ACCELERATOR_SECONDS * 4 if self._machine["accelerator"] else 0
        self._progress = Progress(planned)
        self._measurements: list[Measurement] = []
        self._loading: list[Measurement] = []
        self._accelerator: list[Measurement] = []
        self._agreement: list[dict[str, Any]] = []
        self._left_out: list[str] = []

    def run(self) -> dict[str, Any]:
        """Measure everything; what fails or does not fit is left out with its reason."""
        for size in self._sizes:
            self._prepare(size)
        for comparison in self._comparisons:
            self._compare(comparison)
        if "loading" in self._tasks:
            self._measure_loading()
        if "training" in self._tasks:
            self._measure_accelerator()
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "commit": current_commit(),
            "machine": self._machine,
            "load_at_start": self._load,
            "measurements": [found.to_json() for found in self._measurements],
            "loading": [found.to_json() for found in self._loading],
            "accelerator": [found.to_json() for found in self._accelerator],
            "agreement": self._agreement,
            "left_out": self._left_out,
        }

    def _prepare(self, size: str) -> None:
        """Write the checkpoints of a size."""
        folder = self._scratch / size
        folder.mkdir()
        command = [sys.executable, "-m", "benchmarks.prepare", size, str(folder)]
        subprocess.run(command, check=True, cwd=ROOT)
        self._progress.finish(PREPARE_SECONDS[size])
        self._progress.say(f"wrote the checkpoints of {size}")

    def _compare(self, comparison: Comparison) -> None:
        planned = comparison.seconds
        available = available_memory()
        if available is not None and available < comparison.gigabytes * 1e9:
            self._leave_out(
                comparison.name,
                f"needs about {comparison.gigabytes:.0f} GB, {available / 1e9:.0f} GB were free",
                planned,
            )
            return
        least = comparison.start_seconds + comparison.turn_seconds * (1 + comparison.warm_up)
        if time.monotonic() + least * self._progress.pace > self._deadline:
            self._leave_out(comparison.name, f"not within {MINUTES:.0f} minutes here", planned)
            return
        a_run = planned / (len(comparison.subjects) * (comparison.turns + comparison.warm_up))
        to_do = planned

        def report(name: str, seconds: float) -> None:
            nonlocal to_do
            to_do -= a_run
            self._progress.finish(a_run)
            self._progress.say(f"{name}: {seconds:.2f} s")

        compared = comparison.task == "forward"
        try:
            with tempfile.TemporaryDirectory(dir=self._scratch) as results:
                found = measure_side_by_side(
                    comparison.subjects,
                    repeats=comparison.turns,
                    warm_up=comparison.warm_up,
                    report=report,
                    deadline=self._deadline,
                    save_to=Path(results) if compared else None,
                )
                self._measurements += found
                if compared:
                    self._agreement += list(_agreement(found, Path(results)))
        except WorkerError as error:
            self._leave_out(comparison.name, str(error), 0.0)
        self._progress.leave_out(to_do)

    def _measure_loading(self) -> None:
        def report(name: str, seconds: float) -> None:
            self._progress.finish(LOADING_SECONDS)
            self._progress.say(f"{name}: ready after {seconds:.2f} s")

        for subject in loading_plan(self._scratch, self._sizes):
            self._loading.append(measure_starts(subject, repeats=LOADS, report=report))

    def _measure_accelerator(self) -> None:
        if not self._machine["accelerator"]:
            self._leave_out("training on an accelerator", "there is no CUDA device", 0.0)
            return

        def report(name: str, seconds: float) -> None:
            self._progress.say(f"{name} on the accelerator: {seconds:.3f} s")

        for subject in accelerator_plan(self._scratch, self._sizes):
            what = f"{subject.name} on the accelerator, {subject.cells} cells"
            try:
                self._accelerator += measure_side_by_side(
                    [subject], repeats=ACCELERATOR_REPEATS, warm_up=True, report=report
                )
            except WorkerError as error:
                self._leave_out(what, str(error), 0.0)
            self._progress.finish(ACCELERATOR_SECONDS)

    def _leave_out(self, what: str, why: str, planned: float) -> None:
        self._left_out.append(f"{what}: {why}")
        self._progress.leave_out(planned)
        self._progress.say(f"left out: {what}: {why}")


def _agreement(found: list[Measurement], results: Path) -> list[dict[str, Any]]:
    """How far the gene representations of each subject are from those of the first."""
    first = np.load(results / "0.npy")
    rows = []
    for number, measurement in enumerate(found[1:], 1):
        other = np.load(results / f"{number}.npy")
        norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(other, axis=-1)
        rows.append(
            {
                "size": measurement.subject.size,
                "candidate": measurement.subject.candidate,
                "precision": measurement.subject.precision,
                "largest_difference": float(np.abs(first - other).max()),
                "smallest_cosine": float(((first * other).sum(-1) / norms).min()),
            }
        )
    return rows


def _describe_machine() -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.worker", '"machine"']
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    machine: dict[str, Any] = json.loads(done.stdout)["machine"]
    return machine


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.core", description=__doc__)
    parser.add_argument("--full", action="store_true", help="also what takes long or much memory")
    parser.add_argument(
        "--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="presets (default: all)"
    )
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="what to measure of them"
    )
    add_output(parser)
    parser.add_argument("--scratch", type=Path, help="folder for checkpoints, 8 GB at size 1b")
    options = parser.parse_args(arguments)
    require_quiet(parser, options)
    # Checkpoints of many gigabytes must not outlive a run that is ended from outside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sizes = tuple(size for size in SIZES if size in options.sizes)
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        needed = sum(PREPARE_BYTES[size] for size in sizes)
        if shutil.disk_usage(folder).free < needed:
            parser.error(f"needs {needed / 1e9:.1f} GB for checkpoints: give a --scratch folder")
        results = Benchmark(
            full=options.full, sizes=sizes, tasks=tuple(options.tasks), scratch=Path(folder)
        ).run()
    write_report(results, options.output)
    print(f"wrote {options.output / 'core.md'}, core.json and core.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
