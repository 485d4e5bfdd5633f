"""Names of what is measured. Loads nothing: the process that starts the others uses it."""

from dataclasses import dataclass
from typing import Literal

Task = Literal["forward", "training", "attention", "loading"]
Candidate = Literal["reference", "performer-pytorch", "ours"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Subject:
    """What one process is asked to measure. Made from JSON."""

    task: Task
    candidate: Candidate
    size: str
    """A preset; for attention, "large" or "full": these encoders of the paper's model."""
    precision: Precision
    checkpoint: str | None = None
    """Folder with the weights; attention has random ones."""
    device: str = "cpu"
    cells: int = 1
    checkpointing: bool = False
    """Recompute the layers in backward (accelerators only: memory of large batches)."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.task} {self.size} {self.candidate} {self.precision}"
