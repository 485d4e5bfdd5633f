"""Runs subjects side by side: one process each, told to run in turn."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from benchmarks.machine import ROOT
from benchmarks.subject import Subject

Report = Callable[[str, float], None]
"""Is told what was measured and how many seconds it took."""


class WorkerError(RuntimeError):
    """A worker process died: out of memory, most often."""


@dataclass
class Measurement:
    """What is known of one subject."""

    subject: Subject
    parameters: int
    seconds_to_start: float
    """From the start of the process to a subject that is ready to run, imports included."""
    seconds_to_prepare: float
    """Of them, those that loading took."""
    resident_after_loading: dict[str, int]
    seconds: list[float] = field(default_factory=list)
    """Of each measured run, in order; the first run is not among them where it warms up."""
    memory: dict[str, int] = field(default_factory=dict)
    """After the last run; its ``peak`` is that of the whole life of the process."""
    accelerator_peak: int | None = None

    @property
    def median(self) -> float | None:
        """Seconds, None before the first run."""
        return median(self.seconds) if self.seconds else None

    def to_json(self) -> dict[str, Any]:
        """Raw figures and the median."""
        figures = asdict(self)
        figures["subject"]["checkpoint"] = None
        return {**figures, "median": self.median}


class Worker:
    """One process with one subject. A context manager that ends it."""

    def __init__(self, subject: Subject) -> None:
        """Start the process; :meth:`wait` for it before the first run."""
        self.subject = subject
        self._start = time.perf_counter()
        self._process = subprocess.Popen(  # a browser, with flags that stand here
            [sys.executable, "-m", "benchmarks.worker", json.dumps(asdict(subject))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def wait(self) -> Measurement:
        """Wait until the subject is ready."""
        answer = self._read()
        return Measurement(
            self.subject,
            answer["parameters"],
            time.perf_counter() - self._start,
            answer["seconds"],
            answer["memory"],
        )

    def tell(self, command: str) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self._process.stdin is not None
        try:
            print(command, file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise WorkerError(f"{self.subject.name}: its process ended") from error
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise WorkerError(f"{self.subject.name}: its process ended with exit status {code}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        """The worker itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process: at once if something failed, else when it has nothing left to do."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if kind is not None:
            self._process.kill()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def measure_side_by_side(
    subjects: Sequence[Subject],
    *,
    repeats: int,
    warm_up: bool,
    report: Report,
    deadline: float = math.inf,
    save_to: Path | None = None,
) -> list[Measurement]:
    """Run each subject ``repeats`` times, in turn: a, b, c, a, b, c.

    What disturbs the machine for a while then disturbs all of them, not one.

    Args:
        subjects: what is compared. Each keeps its process, and its memory, until the end.
        repeats: measured runs of each.
        warm_up: run each once before, unmeasured.
        report: told of each run.
        deadline: on the clock of ``time.monotonic``; no turn but the first measured one begins
            that would end after it.
        save_to: a folder for the last result of each, ``0.npy`` and so on.

    Raises:
        WorkerError: a process died.
    """
    with ExitStack() as stack:
        workers, measurements = [], []
        for subject in subjects:  # one after the other: loading must not compete
            workers.append(stack.enter_context(Worker(subject)))
            measurements.append(workers[-1].wait())
        turn_seconds = 0.0
        for turn in range(repeats + warm_up):
            if turn > warm_up and time.monotonic() + turn_seconds > deadline:
                break
            start = time.monotonic()
            for worker, measurement in zip(workers, measurements, strict=True):
                _run_once(worker, measurement, report, warming=turn < warm_up)
            turn_seconds = time.monotonic() - start
        if save_to is not None:
            for number, worker in enumerate(workers):
                worker.tell(f"save {save_to / f'{number}.npy'}")
    return measurements


def _run_once(worker: Worker, measurement: Measurement, report: Report, *, warming: bool) -> None:
    answer = worker.tell("run")
    report(worker.subject.name + (" (warm-up)" if warming else ""), answer["seconds"])
    if not warming:
        measurement.seconds.append(answer["seconds"])
    measurement.memory = answer["memory"]
    measurement.accelerator_peak = answer.get("accelerator_peak")


def measure_starts(subject: Subject, *, repeats: int, report: Report) -> Measurement:
    """Start a process ``repeats`` times, until its subject is ready; they never run it.

    Returns:
        The last of them, with the seconds from start to ready of each as ``seconds``.
    """
    seconds = []
    for _ in range(repeats):
        with Worker(subject) as worker:
            measurement = worker.wait()
        seconds.append(measurement.seconds_to_start)
        report(subject.name, seconds[-1])
    measurement.seconds = seconds
    measurement.memory = measurement.resident_after_loading
    return measurement
