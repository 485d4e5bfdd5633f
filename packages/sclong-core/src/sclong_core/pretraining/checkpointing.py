"""When a run saves checkpoints, how it stops with one, and which one it goes on from.

Lightning saves from inside the signal handler, while other ranks wait in a collective operation.
Here the handler only takes a note; after each step of the optimiser all ranks agree on it.

Ranks that chose by themselves could differ, where a network file system shows files late or one of
them reads a damaged block, and would train on from different steps.
"""

import logging
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.connectors.checkpoint_connector import _CheckpointConnector
from lightning.pytorch.trainer.states import TrainerFn
from torch import distributed as dist

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.pretraining.checkpoint_io import (
    newest_valid_checkpoint,
    recorded_checkpoints,
    steps_of,
)

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
                    f"{error}; stopping after {self._failed} in a row "
                    "(checkpoints.stop_after_failures): free some space, and repeat "
                    "the command to resume from the newest checkpoint"
                ) from error
            if trainer.is_global_zero:
                _LOG.warning(
                    (
                        "WARNING: %s; continuing, but the run stops if %d more in a row "
                        "cannot be written"
                    ),
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


STOPPED = 143
"""Exit status of a run that was asked to stop and can go on: 128 + SIGTERM."""
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopOnSignal(Callback):
    """Saves and leaves with status 143 at the end of the step in which a signal came.

    SIGTERM and SIGUSR1 (``#SBATCH --signal=SIGUSR1@180``), to any rank. Never between steps, where
    gradients that were accumulated would be lost.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.asked = False
        self._step = 0
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen in the place of Lightning, which put its own handlers in before."""
        self.asked, self._step = False, trainer.global_step
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in _SIGNALS}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Agree, save and leave, if this batch ended a step.

        Raises:
            SystemExit: some rank was asked to stop.
            CheckpointError: one was, and the checkpoint could not be written.
        """
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            save_together(trainer, self.folder / "checkpoints" / f"step={self._step}.ckpt")
            raise SystemExit(STOPPED)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no more."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


NEWEST = "newest"
"""Beside Lightning's own ``best`` and ``last``: the newest checkpoint of the run that is whole."""


class SameCheckpoint(_CheckpointConnector):
    """Loads for a Trainer, where its ranks can talk already, which they cannot before ``fit``.

    Args:
        trainer: to load for.
        folder: of the checkpoints of its run.
    """

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        super().__init__(trainer)
        self.folder = folder
        self.begun: int | None = None
        """Steps of the checkpoint that was loaded; None where there was none."""

    def resume_start(
        self, checkpoint_path: Any | None = None, *arguments: Any, **options: Any
    ) -> None:
        """Choose if asked to, and load; all ranks call it together.

        Raises:
            CheckpointError: some rank could not load; raised on all of them.
        """
        if checkpoint_path == NEWEST:
            checkpoint_path = self._newest()
        if checkpoint_path is not None and self.trainer.is_global_zero:
            _LOG.info("going on from %s", checkpoint_path)
        problem = None
        try:
            super().resume_start(checkpoint_path, *arguments, **options)
        except CheckpointError as error:
            problem = error
        _agree(problem)
        self.begun = self._loaded_checkpoint.get("global_step")

    def _newest(self) -> Path | None:
        """What the first rank finds; the others do not look."""
        found = newest_valid_checkpoint(self.folder) if self.trainer.is_global_zero else None
        chosen: Path | None = self.trainer.strategy.broadcast(found)
        if chosen is None and self.trainer.state.fn != TrainerFn.FITTING:
            raise CheckpointError(
                f"{self.folder} holds no checkpoint: give --ckpt_path, or "
                "--trainer.default_root_dir of a run"
            )
        return chosen


def _agree(problem: CheckpointError | None) -> None:
    """Raise on all ranks what any of them met, so that none waits for one that has ended."""
    said: list[str | None] = [None if problem is None else str(problem)]
    if dist.is_available() and dist.is_initialized():
        said *= dist.get_world_size()
        dist.all_gather_object(said, said[0])
    if len(set(said)) == 1:
        if problem is not None:
            raise problem
        return
    met = [f"rank {rank}: {what}" for rank, what in enumerate(said) if what is not None]
    raise CheckpointError("; ".join(met)) from problem
