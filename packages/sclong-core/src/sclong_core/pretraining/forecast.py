"""How long a run will take, told after its first steps."""

import logging
import math
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from sclong_core.pretraining.estimate import duration

_LOG = logging.getLogger("sclong")
MEASURED = 3
"""Steps of the optimiser that are timed, after a first one that also warms up."""
_SHORT = 60.0
"""Seconds left below which nothing is reported."""


class Forecast(Callback):
    """Logs once how long the steps that are left will take, at the rate of the first ones.

    Validation and checkpoints come on top.
    """

    def __init__(self) -> None:
        """Measure from the first step of this start on."""
        self._first: int | None = None
        self._begun = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        """Start the clock after one step, and read it after some more."""
        step = trainer.global_step
        if self._first is None:
            self._first = step
        elif step == self._first + 1 and not self._begun:
            self._begun = time.monotonic()
        elif step == self._first + 1 + MEASURED and self._begun:
            self._tell(trainer, (time.monotonic() - self._begun) / MEASURED)
            self._begun = math.inf  # once

    def _tell(self, trainer: Trainer, seconds: float) -> None:
        steps = trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            return
        left = (int(steps) - trainer.global_step) * seconds
        if left > _SHORT:
            _LOG.info(
                "a step takes %s: the %s steps left take about %s, validation aside. You may "
                "interrupt: repeat the command to resume from the newest checkpoint",
                duration(seconds), f"{int(steps) - trainer.global_step:,}", duration(left),
            )  # fmt: skip
