"""Settings of drug response: data, splits, metrics, and the network."""

from dataclasses import dataclass, field
from typing import Self

from sclong_core.errors import ConfigError
from sclong_tasks.encoders.choose import EncoderOptions
from sclong_tasks.task import ProtocolName
from sclong_tasks.training import TrainingOptions

LINES = ("expression", "listed")


@dataclass
class DrugResponseSettings:
    """What belongs to data, splits and metrics."""

    lines: str = "expression"
    """Cell lines to use: those with "expression", or all that a table of the original lists
    ("listed"), which only models without expression can use."""
    test_fraction: float = 0.1
    """Of the rows."""
    validation_fraction: float = 0.05
    """Of the rows; 0 where models select on test rows."""
    select_on_test: bool = False
    """Fault of the original: the epoch is chosen by Pearson on the test rows."""
    bootstrap: int = 200
    """Draws for intervals; 0 gives none."""

    def __post_init__(self) -> None:
        if self.lines not in LINES:
            raise ConfigError(f"task.lines must be one of {', '.join(LINES)}, not {self.lines!r}")
        if not 0 < self.test_fraction < 1 or not 0 <= self.validation_fraction < 1:
            raise ConfigError("task.test_fraction and validation_fraction must lie between 0 and 1")
        if self.test_fraction + self.validation_fraction >= 1:
            raise ConfigError(
                "task.test_fraction and validation_fraction leave nothing to train on"
            )
        if self.select_on_test and self.validation_fraction:
            raise ConfigError("task.select_on_test goes with task.validation_fraction=0")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "DrugResponseSettings":
        """As published: 95/5 without validation rows, selection on the test rows."""
        if protocol == "published":
            return cls(test_fraction=0.05, validation_fraction=0.0, select_on_test=True)
        return cls()


@dataclass
class NetworkOptions:
    """Shape of the network. Paper and released code differ: see the documentation."""

    cell_hidden: int = 256
    """First layer of the cell line's branch."""
    branch: int = 100
    """Width of each branch's output."""
    graph_layers: list[int] = field(default_factory=lambda: [100, 100, 100])
    """Width of each graph convolution; [256, 256, 256, 100] in the code."""
    padded_atoms: int = 0
    """Drugs are averaged over their atoms (0), or over this many: 100 in the code, which pads each
    graph to 100 atoms and averages over padding too."""
    padding: str = "zeros"
    """With ``padded_atoms``: atoms of padding are "carried" through all layers, where they have a
    bias and count in batch normalisation, as in the code; or are "zeros" in the average alone."""
    head: str = "cnn"
    """Regression head: "cnn" as published, or "mlp" (one hidden layer)."""
    head_hidden: int = 300
    """Width of its dense layer."""
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.head not in ("cnn", "mlp"):
            raise ConfigError(f"network.head must be cnn or mlp, not {self.head!r}")
        if self.padding not in ("carried", "zeros"):
            raise ConfigError(f"network.padding must be carried or zeros, not {self.padding!r}")
        if self.padded_atoms < 0:
            raise ConfigError("network.padded_atoms must not be negative")
        if not self.graph_layers or min(self.graph_layers) < 1:
            raise ConfigError("network.graph_layers needs one positive width a layer")


@dataclass
class DeepCdrOptions:
    """Of the network with any encoder in the cell line's slot."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="raw"))
    network: NetworkOptions = field(default_factory=NetworkOptions)
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(epochs=500, batch_size=64, patience=10)
    )
    standardise: bool = True
    """Scale each feature of the encoder to mean 0 and s.d. 1 over the training lines, and ln IC50
    over the training rows; as published, neither."""

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """As published: the code's graph layers and padding, and Pearson to select by."""
        if protocol != "published":
            return cls()
        network = NetworkOptions(
            graph_layers=[256, 256, 256, 100], padded_atoms=100, padding="carried"
        )
        training = TrainingOptions(
            epochs=500, batch_size=64, patience=10, monitor="validation_pearson", mode="max"
        )
        return cls(network=network, training=training, standardise=False)
