"""Which measurements there are, in which order, and about how long each takes.

The seconds and gigabytes below are those of a machine with two cores. They only serve to foretell
the time left, and to leave out what would not fit in memory or in the time allowed.
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
    turns: int
    """Measured runs of each subject."""
    warm_up: bool
    """Whether each runs once before, unmeasured."""
    turn_seconds: float
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
        return self.start_seconds + self.turn_seconds * (self.turns + self.warm_up)


PROCESS_SECONDS = 3.0
"""A process until it has imported PyTorch and loaded a small model."""

_ATTENTION = {"large": (2, 3.0, 6), "full": (2, 5.0, 6)}
"""Measured turns, seconds a turn and gigabytes by size; so below."""

_FORWARD = {"tiny": (3, 3.5, 4), "small": (2, 12.0, 6), "base": (1, 30.0, 8), "1b": (1, 165.0, 15)}
_TRAINING = {"tiny": (2, 14.0, 8), "small": (1, 40.0, 14)}
_FULL_FORWARD = {
    "tiny": (5, 3.5, 4),
    "small": (5, 12.0, 6),
    "base": (3, 30.0, 8),
    "1b": (2, 215.0, 21),
}
_FULL_TRAINING = {"tiny": (5, 14.0, 8), "small": (3, 40.0, 14), "base": (2, 120.0, 20)}
_COLD = 100.0
"""A turn that takes longer has no warm-up turn before it: the first run is not slower by much."""


def plan(checkpoints: Path, *, full: bool, sizes: tuple[str, ...]) -> Iterator[Comparison]:
    """Measurements on the CPU, small ones first.

    Args:
        checkpoints: where those of each size are, as ``SIZE/PRECISION``.
        full: training at size "base" and the reference in bfloat16 at "1b" too.
        sizes: presets to measure.
    """
    for size, figures in _ATTENTION.items():
        yield _comparison("attention", size, tuple(_attentions(size)), *figures)
    for size in sizes:
        subjects = tuple(_models("forward", size, checkpoints))
        if size == "1b" and not full:  # without the reference in bfloat16: a minute and 7 GB
            subjects = tuple(
                s for s in subjects if (s.candidate, s.precision) != ("reference", "bfloat16")
            )
        figures = (_FULL_FORWARD if full else _FORWARD)[size]
        yield _comparison("forward", size, subjects, *figures)
    training = _FULL_TRAINING if full else _TRAINING
    for size in sizes:
        if size in training:
            subjects = tuple(_models("training", size, checkpoints))
            yield _comparison("training", size, subjects, *training[size])


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
    turns, turn_seconds, gigabytes = figures
    return Comparison(
        task,
        size,
        subjects,
        turns=int(turns),
        warm_up=turn_seconds < _COLD,
        turn_seconds=turn_seconds,
        start_seconds=PROCESS_SECONDS * len(subjects),
        gigabytes=gigabytes,
    )


def _attentions(size: str) -> Iterator[Subject]:
    for precision in PRECISIONS:
        for candidate in ATTENTIONS:
            yield Subject("attention", candidate, size, precision)


def _models(task: Task, size: str, checkpoints: Path) -> Iterator[Subject]:
    """Reference and ours in float32, then both in bfloat16.

    Training keeps float32 weights and computes in bfloat16. In inference that is what the reference
    does too, while ours keeps bfloat16 weights.
    """
    for precision in PRECISIONS:
        for candidate in MODELS:
            kept = precision if (task, candidate) == ("forward", "ours") else "float32"
            yield Subject(task, candidate, size, precision, str(checkpoints / size / kept))
