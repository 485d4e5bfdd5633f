"""Settings of the task: what belongs to data, splits and metrics."""

from dataclasses import dataclass
from typing import Self

from sclong_core.errors import ConfigError
from sclong_tasks.task import ProtocolName


@dataclass
class CombinationSettings:
    """What differs between protocols; each switch that is a fault of the original says so."""

    keep_conflicting_pairs: bool = False
    """Keep rows of one drug pair and cell line whose labels contradict each other (fault of the
    original: 26 such keys train it). Else all rows of such a key are left out, and counted."""
    keep_repeated_pairs: bool = False
    """Keep rows that say the same again (fault of the original, which has 185 of them). Else the
    first is kept."""
    select_on_test: bool = False
    """Keep the weights of the epoch that is best on the test rows (fault of the original, which
    evaluates them every fifth epoch). It takes the place of the validation rows."""
    validation_fraction: float = 0.1
    """Of the training rows, drawn by drug pair, drug or cell line as the split is; 0 for none."""
    test_fraction: float = 0.2
    """Of the rows, in splits inside the training screen."""
    bootstrap_draws: int = 200
    """For intervals over drug pairs, drugs or cell lines."""

    def __post_init__(self) -> None:
        if not (0 <= self.validation_fraction < 1 and 0 < self.test_fraction < 1):
            raise ConfigError("validation_fraction and test_fraction must be shares of the rows")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ConfigError("validation_fraction and test_fraction leave no training rows")
        if self.bootstrap_draws < 0:
            raise ConfigError("bootstrap_draws must not be negative")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """Published: all rows as they are, no validation rows, weights chosen on test rows."""
        if protocol == "honest":
            return cls()
        return cls(
            keep_conflicting_pairs=True,
            keep_repeated_pairs=True,
            select_on_test=True,
            validation_fraction=0.0,
        )
