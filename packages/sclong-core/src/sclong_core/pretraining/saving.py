"""When a run saves checkpoints, how many it keeps, and what happens when one cannot be written."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.pretraining.checkpoint_io import recorded_checkpoints, steps_of

_LOG = logging.getLogger("sclong")


@dataclass(frozen=True)
class CheckpointPolicy:
    """When training checkpoints are written, how many are kept, how many may fail."""

    every_n_steps: int = 1000
    """Steps of the optimiser between checkpoints; one more is written at the end."""
    keep: int = 3
    """Newest ones to keep; -1 keeps all."""
    stop_after_failures: int = 3
    """Checkpoints in a row that could not be written (a full disk, a quota) and end the run; 1 ends
    it at the first."""

    def __post_init__(self) -> None:
        """Refuse a policy that keeps nothing."""
        for name in ("every_n_steps", "stop_after_failures"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"checkpoints.{name} must be at least 1, not {getattr(self, name)}"
                )
        if self.keep < 1 and self.keep != -1:
            raise ConfigError(f"checkpoints.keep must be at least 1, or -1, not {self.keep}")


class SaveCheckpoints(Checkpoint):
    """Saves every few steps, and goes on without a checkpoint that cannot be written.

    Only after a step: a checkpoint amid the batches of one would lack the gradients that they have
    added up. Older checkpoints are removed once a newer one is whole, so that the last good one is
    there however many fail.

    Args:
        folder: of the checkpoints.
        policy: when, how many, and how many may fail.
    """

    def __init__(self, folder: str | Path, policy: CheckpointPolicy | None = None) -> None:
        self.folder = Path(folder)
        self.policy = policy or CheckpointPolicy()
        self._step = 0
        self._failed = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the step that the run goes on from as saved."""
        self._step, self._failed = trainer.global_step, 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Save if this batch ended a step, and it is time.

        Raises:
            CheckpointError: too many in a row could not be written.
        """
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if self._step % self.policy.every_n_steps == 0:
            self._save(trainer, self.folder / f"step={self._step}.ckpt")

    def _save(self, trainer: Trainer, path: Path) -> None:
        try:
            save_together(trainer, path)
        except CheckpointError as error:
            self._failed += 1
            if self._failed >= self.policy.stop_after_failures:
                raise CheckpointError(
                    f"{error}; the run stops after {self._failed} in a row "
                    "(checkpoints.stop_after_failures): make room, and the same command goes on "
                    "from the newest checkpoint"
                ) from error
            if trainer.is_global_zero:
                _LOG.warning(
                    "WARNING: %s; the run goes on, and stops if %d more in a row cannot be written",
                    error,
                    self.policy.stop_after_failures - self._failed,
                )
        else:
            self._failed = 0
            self._prune(trainer, path)

    def _prune(self, trainer: Trainer, newest: Path) -> None:
        """Remove what is older than the newest ones; what is newer than this one is left alone."""
        if not trainer.is_global_zero or self.policy.keep < 0:
            return
        older = [path for path in recorded_checkpoints(self.folder) if steps_of(path) < self._step]
        for path in older[self.policy.keep - 1 :]:
            if path != newest:
                trainer.strategy.remove_checkpoint(path)


def save_together(trainer: Trainer, path: Path) -> None:
    """Save a checkpoint; if any rank fails, all of them know.

    Raises:
        CheckpointError: it could not be written; earlier ones are untouched.
    """
    failure = None
    try:
        trainer.save_checkpoint(path)
    except OSError as error:
        failure = error
        # The others may wait at the end of Trainer.save_checkpoint for the rank that wrote.
        trainer.strategy.barrier("Trainer.save_checkpoint")
    said = trainer.strategy.broadcast(None if failure is None else _one_line(failure))
    if said is not None:
        raise CheckpointError(f"{path} could not be written: {said}") from failure


def _one_line(error: OSError) -> str:
    return " ".join(str(error.strerror or error).split())
