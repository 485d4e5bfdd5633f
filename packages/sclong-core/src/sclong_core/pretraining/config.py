"""The network in a configuration file: a preset, and what differs from it."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from sclong_core.config import (
    Attention,
    ContextConfig,
    GraphUse,
    InputConfig,
    LowExpression,
    PerformerConfig,
    ReadoutConfig,
    ScLongConfig,
    Storage,
)
from sclong_core.errors import ConfigError


@dataclass(frozen=True)
class PerformerOverrides:
    """What differs from the preset's Performer; see :class:`~sclong_core.PerformerConfig`."""

    dim: int | None = None
    """Width of its input and output; the mini and full encoders take the network's."""
    depth: int | None = None
    """Number of layers."""
    heads: int | None = None
    """Attention heads a layer."""
    dim_head: int | None = None
    """Width of a head."""
    random_features: int | None = None
    """FAVOR+ features; by default ``int(dim_head * ln(dim_head))``."""
    attention: Attention | None = None
    """"favor" or, for some hundred positions, "softmax"."""


@dataclass(frozen=True)
class NetworkConfig:
    """A preset and what differs from it; see :class:`~sclong_core.ScLongConfig`."""

    preset: Literal["tiny", "small", "base", "1b"] = "tiny"
    """Size to start from."""
    genes: int | None = None
    """Genes of the vocabulary: refused where the vocabulary has another number."""
    dim: int | None = None
    """Width of gene representations."""
    expression_hidden: int | None = None
    """Hidden width of the expression embedding."""
    high_genes: int | None = None
    """Genes of a cell that pass through the large encoder."""
    large: PerformerOverrides = field(default_factory=PerformerOverrides)
    """Encoder of the high-expression genes."""
    mini: PerformerOverrides = field(default_factory=PerformerOverrides)
    """Encoder of the low-expression genes."""
    full: PerformerOverrides = field(default_factory=PerformerOverrides)
    """Encoder over all genes."""
    low_expression: LowExpression | None = None
    """Low-expression genes: "encoder", or the paper's ablations "none" and "random"."""
    graph: GraphUse | None = None
    """Gene graph: "edges", the paper's ablations "none" and "random", or "shuffled"."""
    feature_seed: int | None = None
    """Seed of the random features."""
    context: ContextConfig | None = None
    """Genes of a cell that the encoders read; all if None."""
    readout: ReadoutConfig | None = None
    """The vector of a cell as a part of the model; it needs a context and ``model.objective``."""
    storage: Storage | None = None
    """Numbers in the checkpoint file: "exact", or rounded to "bfloat16"."""

    def build(
        self, genes: int, *, has_graph: bool, input_config: InputConfig | None = None
    ) -> ScLongConfig:
        """The whole configuration of the model.

        Args:
            genes: of the vocabulary.
            has_graph: whether a gene graph is given; without one the model does without.
            input_config: how the expression is normalised.

        Raises:
            ConfigError: the sizes do not fit together or to the vocabulary.
        """
        if self.genes is not None and self.genes != genes:
            raise ConfigError(
                f"model.network.genes is {self.genes:,}, but the vocabulary has {genes:,} genes"
            )
        if not has_graph and self.graph not in (None, "none"):
            raise ConfigError(
                f'model.network.graph is "{self.graph}", but there is no graph: set model.graph'
            )
        base = ScLongConfig.preset(self.preset, genes=genes)
        changes = {name: getattr(self, name) for name in _PLAIN if getattr(self, name) is not None}
        dim = changes.get("dim", base.dim)
        changes["large"] = _changed(base.large, self.large)
        for name in ("mini", "full"):
            changes[name] = _changed(replace(getattr(base, name), dim=dim), getattr(self, name))
        if not has_graph:
            changes["graph"] = "none"
        return replace(base, **changes, input=input_config or InputConfig())


_PLAIN = (
    "dim",
    "expression_hidden",
    "high_genes",
    "low_expression",
    "graph",
    "feature_seed",
    "context",
    "readout",
    "storage",
)


def _changed(base: PerformerConfig, overrides: PerformerOverrides) -> PerformerConfig:
    values: dict[str, Any] = {
        item.name: value
        for item in fields(overrides)
        if (value := getattr(overrides, item.name)) is not None
    }
    return replace(base, **values)
