"""Settings of genetic perturbation: data, split and metrics."""

from dataclasses import dataclass, field

from sclong_core.errors import ConfigError
from sclong_tasks.task import ProtocolName


@dataclass
class GeneticPerturbationSettings:
    """What belongs to data, split and metrics."""

    merge_spellings: bool = True
    """"A+ctrl" and "ctrl+A" are one condition; as published, they are split and measured as two."""
    guide_share: float = 0.5
    """Cells with a smaller share of their most frequent guide are left out, where it is known."""
    leave_out: list[str] = field(default_factory=list)
    """Genes whose conditions are left out, such as those that GEARS misses in its gene graph."""
    split_seed: int = -1
    """Of the split: that of the run (-1), or the same for all runs: 1 as published."""
    train_share: float = 0.75
    """Of genes, and of pairs of them, that may be trained on."""
    validation_share: float = 0.9
    """Of these, what is left when validation is taken off."""
    top: int = 20
    """Ranked genes that metrics of ranked genes rest on."""
    undefined_is_zero: bool = False
    """Fault of the original: a correlation that is not defined counts as 0."""
    printed: bool = False
    """Add the metrics that the paper's Methods print, over single cells."""
    bootstrap: int = 200
    """Draws for intervals; 0 gives none."""

    def __post_init__(self) -> None:
        if not (0 < self.train_share < 1 and 0 < self.validation_share < 1):
            raise ConfigError("task.train_share and validation_share must lie between 0 and 1")
        if not 0 <= self.guide_share <= 1:
            raise ConfigError("task.guide_share must lie between 0 and 1")
        if self.top < 2:
            raise ConfigError("task.top must be at least 2")
        if self.split_seed < -1:
            raise ConfigError("task.split_seed must be a seed, or -1 for the seed of the run")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "GeneticPerturbationSettings":
        """As published: one split for all runs, spellings apart, no NaN, cells too."""
        if protocol == "published":
            return cls(merge_spellings=False, split_seed=1, undefined_is_zero=True, printed=True)
        return cls()
