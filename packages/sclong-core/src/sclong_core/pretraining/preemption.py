"""Stopping when the cluster asks for it: at the end of a step, on all ranks, with a checkpoint.

Lightning saves from inside the signal handler, while other ranks wait in a collective operation.
Here the handler only takes a note; after each step of the optimiser all ranks agree on it.
"""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sclong_core.pretraining.saving import save_together

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
