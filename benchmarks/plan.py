"""Which measurements there are, in which order, and about how long each takes.

The seconds and gigabytes below are those of a machine with two cores. They only serve to foretell
the time left and to leave out what would not fit in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.subject import Candidate, Precision, Subject, Task

MODELS: tuple[Candidate, ...] = ("reference", "ours")
ATTENTIONS: tuple[Candidate, ...] = ("performer-pytorch", "ours")
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Comparison:
    """Subjects that are run in turn."""

    task: Task
    size: str
    subjects: tuple[Subject, ...]
    repeats: int
    warm_up: bool
    round_seconds: float
    """Of all subjects once."""
    start_seconds: float
    """Of all processes until they are ready."""
    gigabytes: float
    """Of all of them, while the largest runs."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.task} {self.size}"

    @property
    def seconds(self) -> float:
        """Foretold for all of it."""
        return self.start_seconds + self.round_seconds * (self.repeats + self.warm_up)


PROCESS_SECONDS = 4.0
"""A process until it has imported PyTorch."""

_FORWARD = {
    "tiny": (5, 1.5, 4),
    "small": (3, 8.0, 6),
    "base": (2, 26.0, 8),
    "1b": (1, 175.0, 14),
}
"""Repeats, seconds a round and gigabytes by size."""

_FORWARD_1B_FULL = (2, 230.0, 20)
_TRAINING = {"tiny": (3, 6.0, 6), "small": (2, 30.0, 12), "base": (2, 130.0, 20)}


def plan(checkpoints: Path, *, full: bool, sizes: tuple[str, ...]) -> Iterator[Comparison]:
    """Measurements on the CPU, small ones first.

    Args:
        checkpoints: where those of each size are, as ``SIZE/PRECISION``.
        full: training at size "base" and the reference in bfloat16 at "1b" too.
        sizes: presets to measure.
    """
    yield _attention("large", round_seconds=3.0)
    yield _attention("full", round_seconds=4.5)
    for size in sizes:
        subjects = tuple(_models("forward", size, checkpoints))
        figures = _FORWARD[size]
        if size == "1b" and full:
            figures = _FORWARD_1B_FULL
        elif size == "1b":  # without the reference in bfloat16: one minute and 7 GB
            subjects = tuple(
                s for s in subjects if (s.candidate, s.precision) != ("reference", "bfloat16")
            )
        yield _comparison("forward", size, subjects, *figures)
    for size in sizes:
        if size in _TRAINING and (full or size != "base"):
            subjects = tuple(_models("training", size, checkpoints))
            yield _comparison("training", size, subjects, *_TRAINING[size])


def loading_plan(checkpoints: Path, sizes: tuple[str, ...]) -> list[Subject]:
    """Our model at the largest size, from either checkpoint."""
    folders = {precision: str(checkpoints / sizes[-1] / precision) for precision in PRECISIONS}
    return [
        Subject("loading", "ours", sizes[-1], precision, folder)
        for precision, folder in folders.items()
    ]


def accelerator_plan(checkpoints: Path, sizes: tuple[str, ...]) -> list[Subject]:
    """Training steps of our model at the largest size on a CUDA device, one at a time."""
    folder = str(checkpoints / sizes[-1] / "float32")
    cases = ((1, False), (1, True), (4, True), (8, True))
    return [
        Subject("training", "ours", sizes[-1], "bfloat16", folder, "cuda", cells, recompute)
        for cells, recompute in cases
    ]


def _comparison(
    task: Task, size: str, subjects: tuple[Subject, ...], *figures: float
) -> Comparison:
    repeats, round_seconds, gigabytes = figures
    return Comparison(
        task,
        size,
        subjects,
        repeats=int(repeats),
        warm_up=repeats > 1,
        round_seconds=round_seconds,
        start_seconds=PROCESS_SECONDS * len(subjects),
        gigabytes=gigabytes,
    )


def _attention(size: str, *, round_seconds: float) -> Comparison:
    subjects = tuple(
        Subject("attention", candidate, size, precision)
        for precision in PRECISIONS
        for candidate in ATTENTIONS
    )
    return _comparison("attention", size, subjects, 3, round_seconds, 6)


def _models(task: Task, size: str, checkpoints: Path) -> Iterator[Subject]:
    """Reference and ours in float32, then both in bfloat16.

    Training keeps float32 weights and computes in bfloat16. In inference that is what the reference
    does too, while ours keeps bfloat16 weights.
    """
    for precision in PRECISIONS:
        for candidate in MODELS:
            kept = precision if (task, candidate) == ("forward", "ours") else "float32"
            yield Subject(task, candidate, size, precision, str(checkpoints / size / kept))
