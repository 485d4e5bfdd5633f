"""Settings of gene regulatory networks: which edges are candidates, and how they are measured."""

from dataclasses import dataclass

from sclong_core.errors import ConfigError
from sclong_tasks.task import ProtocolName

CANDIDATES = ("tf", "pairs")
TIES = ("kept", "first")
SCALES = ("log1p", "log2", "counts", "tpm", "stored")


@dataclass
class GrnSettings:
    """Data and metrics."""

    candidates: str = "tf"
    """Edges that are scored: from transcription factors of the network to its genes ("tf"), or
    between all genes of the network ("pairs"), of which those of "tf" are a part."""
    self_loops: bool = False
    """Fault of the original: edges from a factor to itself are among the candidates."""
    ties: str = "kept"
    """Early edges are as many as the network has. Where weights tie at the last of them, all that
    tie are "kept", as in BEELINE, and edges of weight 0 never are; or the "first" in the order of
    the file are taken, as in DeepSEM."""
    scale: str = "log1p"
    """Of the expression: "log1p", which is refused where values show that they are not logarithms,
    "log2", "counts", "tpm" (any scaled values without the logarithm), or "stored": log1p, whatever
    the values look like."""
    most_candidates: int = 50_000_000
    """More candidates than this are refused, because each is a row in memory."""
    bootstrap: int = 200
    """Draws of transcription factors for intervals; 0 gives none."""

    def __post_init__(self) -> None:
        for name, choices in (("candidates", CANDIDATES), ("ties", TIES), ("scale", SCALES)):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"task.{name} must be one of {', '.join(choices)}, not {value!r}")
        if self.bootstrap < 0 or self.most_candidates < 1:
            raise ConfigError(
                "task.bootstrap must not be negative, task.most_candidates be positive"
            )

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "GrnSettings":
        """As published: factors to themselves among the candidates, ties by order."""
        if protocol == "published":
            return cls(self_loops=True, ties="first")
        return cls()


@dataclass
class NetworkOptions:
    """Widths, penalties, and whose turn it is."""

    hidden: int = 128
    """Width of the encoder and the decoder, which are shared by genes."""
    alpha: float = 0.1
    """Weight of the mean size of A."""
    beta: float = 0.01
    """Weight of the divergence from the prior."""
    encoder_epochs: int = 1
    """Epochs that train everything but A, in turn with"""
    network_epochs: int = 2
    """epochs that train A alone."""
    decay: float = 0.95
    """Of the learning rate of everything but A, each epoch."""
    block: int = 1_000_000
    """Genes times cells at a time in encoder and decoder; more are taken in blocks, whose inner
    layers are computed again for the gradient. 0 takes all at once."""

    def __post_init__(self) -> None:
        if min(self.hidden, self.encoder_epochs, self.network_epochs) < 1 or self.block < 0:
            raise ConfigError(
                "network.hidden, encoder_epochs and network_epochs must be at least 1, block not "
                "negative"
            )
