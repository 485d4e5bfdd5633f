"""The learning rate: cosine with warm restarts, each cycle with a linear warm-up.

Source: the paper, "scLong pretraining". The release ends each cycle at 1e-6 instead of 1e-5 and
steps once an epoch; whether the paper's cycle of 15 counts epochs or steps is not said.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sclong_core.errors import ConfigError


@dataclass(frozen=True)
class ScheduleConfig:
    """Shape of the learning rate over time; the defaults are the release's."""

    first_cycle: int = 15
    """Length of the first cycle, warm-up included."""
    cycle_multiple: float = 2.0
    """How much longer each cycle is than the one before, warm-up excluded."""
    warmup: int = 5
    """Length of the linear rise from minimum to maximum at the start of each cycle."""
    maximum: float = 5e-5
    """Highest rate of the first cycle."""
    minimum: float = 1e-6
    """Lowest rate of each cycle. The paper has 1e-5."""
    decay: float = 0.9
    """Factor of the maximum from one cycle to the next."""
    interval: Literal["epoch", "step"] = "epoch"
    """What the lengths count: epochs, or steps of the optimiser."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be run through."""
        if not 0 <= self.warmup < self.first_cycle:
            raise ConfigError(
                f"schedule.warmup ({self.warmup}) must be at least 0 and less than "
                f"schedule.first_cycle ({self.first_cycle})"
            )
        if self.cycle_multiple < 1:
            raise ConfigError(
                f"schedule.cycle_multiple must be at least 1, not {self.cycle_multiple}"
            )
        if not 0 <= self.minimum <= self.maximum:
            raise ConfigError(
                f"schedule.minimum ({self.minimum}) must lie between 0 and schedule.maximum "
                f"({self.maximum})"
            )
        if not 0 < self.decay <= 1:
            raise ConfigError(
                f"schedule.decay must be above 0 and at most 1, not {self.decay}: it shrinks the "
                "maximum"
            )


def learning_rate(time: int, config: ScheduleConfig) -> float:
    """The rate after ``time`` epochs or steps, a pure function of it."""
    cycle, length = 0, config.first_cycle
    while time >= length:
        time -= length
        length = int((length - config.warmup) * config.cycle_multiple) + config.warmup
        cycle += 1
    span = config.maximum * config.decay**cycle - config.minimum
    if time < config.warmup:
        return config.minimum + span * time / config.warmup
    progress = (time - config.warmup) / (length - config.warmup)
    return config.minimum + span * (1 + math.cos(math.pi * progress)) / 2


def make_scheduler(optimizer: Optimizer, config: ScheduleConfig) -> LambdaLR:
    """Drive an optimiser whose own rate is 1, so that the factor is the rate itself."""

    def factor(time: int) -> float:
        return learning_rate(time, config)

    return LambdaLR(optimizer, factor)
