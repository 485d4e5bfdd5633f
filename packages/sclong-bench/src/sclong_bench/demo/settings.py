"""The numbers of the demonstration, in one place."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sclong_core.errors import ConfigError


@dataclass(frozen=True)
class DemoSettings:
    """What a run of the demonstration is a function of.

    The paper's schedule (5 epochs of 48 million cells at a rate of at most 5e-5) would leave a new
    model on some hundred cells where it started; so the demonstration has its own.
    """

    seed: int = 1
    """Of the split, the initial weights, the order of cells, the masks, and the maps."""
    epochs: int = 6
    """Passes over the training cells."""
    held_out: float = 0.2
    """Share of cells that pretraining never sees."""
    preset: Literal["tiny", "small", "base", "1b"] = "tiny"
    """Size of the model."""
    depth: int = 1
    """Layers of each of its encoders: deeper ones learn no more in some hundred steps."""
    batch_size: int = 4
    """Cells a step."""
    learning_rate: float = 1.2e-3
    """Highest rate; it rises to it over the first twentieth of the steps and falls as a cosine."""
    masked: float = 0.15
    """Share of a cell's non-zero values that is hidden, and scored (the paper's)."""
    neighbours: int = 20
    """Edges that a gene may have from other genes."""
    least_similarity: float = 0.1
    """Cosine of gene vectors above which they are joined."""
    masks: int = 5
    """Draws of hidden values over which the reconstruction of held-out cells is measured."""
    splits: int = 5
    """Splits of the cells over which the accuracy of cell types is measured."""
    nearest: int = 15
    """Neighbours that vote on a cell's type; also the neighbours of the maps."""
    components: int = 50
    """Principal components that the embedding is compared with."""

    def __post_init__(self) -> None:
        """Refuse what can be set on the command line and makes no sense."""
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed must be from 0 to {2**32 - 1}, not {self.seed}")
        if self.epochs < 1:
            raise ConfigError(f"--epochs must be at least 1, not {self.epochs}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the record."""
        return asdict(self)
