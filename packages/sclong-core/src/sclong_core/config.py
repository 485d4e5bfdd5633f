"""The shape of an scLong model: plain, frozen, validated when made."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar, get_args

from sclong_core.errors import ConfigError

LowExpression = Literal["encoder", "none", "random"]
GraphUse = Literal["edges", "none", "random"]
T = TypeVar("T")
PRESETS = ("tiny", "small", "base", "1b")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require_positive(name: str, value: object) -> None:
    if not _is_whole(value) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a positive integer, not {value!r}")


@dataclass(frozen=True)
class PerformerConfig:
    """Shape of one Performer stack (paper, "scLong model architecture")."""

    dim: int
    """Width of its input and output."""
    depth: int
    """Number of layers."""
    heads: int
    """Attention heads a layer."""
    dim_head: int = 64
    """Width of a head; ``heads * dim_head`` need not equal ``dim``."""
    random_features: int | None = None
    """FAVOR+ features; by default ``int(dim_head * ln(dim_head))``, as in performer-pytorch."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        for name in ("dim", "depth", "heads"):
            _require_positive(f"Performer {name}", getattr(self, name))
        if not _is_whole(self.dim_head) or self.dim_head < 3:
            raise ConfigError(
                f"Performer dim_head must be an integer of at least 3, not {self.dim_head!r}"
            )
        if self.random_features is not None:
            _require_positive("Performer random_features", self.random_features)

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.dim_head

    @property
    def features(self) -> int:
        """Number of random features in use."""
        return self.random_features or int(self.dim_head * math.log(self.dim_head))


@dataclass(frozen=True)
class InputConfig:
    """How the expression that a model was trained on had been normalised."""

    target_sum: float = 10_000.0
    """Counts of a cell are scaled to this sum before log1p."""
    maximum: float | None = None
    """If set, each cell is rescaled so that its largest value is this (paper: 10); larger values
    are clipped to it. None leaves log1p values as they are, as the release's embedding does."""

    def __post_init__(self) -> None:
        """Refuse scales that are not positive and finite."""
        for name in ("target_sum", "maximum"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise ConfigError(f"input {name} must be a positive number, not {value!r}")


@dataclass(frozen=True)
class ScLongConfig:
    """Everything that decides which parameters an scLong model has and how they are combined.

    Defaults are the paper's one-billion-parameter model (paper, "scLong model architecture").
    """

    genes: int = 27_874
    """Genes of the vocabulary, without the PAD position, which the model appends itself."""
    dim: int = 200
    """Width of gene representations."""
    expression_hidden: int = 50
    """Hidden width of the expression embedding."""
    high_genes: int = 4_096
    """Genes of a cell, by expression, that pass through the large encoder."""
    large: PerformerConfig = PerformerConfig(dim=1280, depth=42, heads=32)
    """Encoder of the high-expression genes."""
    mini: PerformerConfig = PerformerConfig(dim=200, depth=2, heads=8)
    """Encoder of the low-expression genes."""
    full: PerformerConfig = PerformerConfig(dim=200, depth=2, heads=8)
    """Encoder over all genes, after the two others."""
    low_expression: LowExpression = "encoder"
    """Low-expression genes: encoded; left out ("none"); or encoded by a mini encoder whose every
    parameter is drawn from N(0, 1) ("random"). The last two are the paper's ablations."""
    graph: GraphUse = "edges"
    """Gene graph: used; left out ("none"); or with weights drawn from U(0, 1) ("random"). The last
    two are the paper's ablations."""
    feature_seed: int = 0
    """Seed of the random features and of the two random ablations."""
    input: InputConfig = InputConfig()
    """Normalisation of the expression the model is fed with."""

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        for name in ("genes", "dim", "expression_hidden", "high_genes"):
            _require_positive(name, getattr(self, name))
        if self.high_genes > self.genes:
            raise ConfigError(
                f"high_genes ({self.high_genes}) must not exceed genes ({self.genes})"
            )
        for name in ("mini", "full"):
            width = getattr(self, name).dim
            if width != self.dim:
                raise ConfigError(f"{name}.dim ({width}) must equal dim ({self.dim})")
        if self.low_expression not in get_args(LowExpression):
            choices = get_args(LowExpression)
            raise ConfigError(
                f"low_expression must be one of {choices}, not {self.low_expression!r}"
            )
        if self.graph not in get_args(GraphUse):
            raise ConfigError(f"graph must be one of {get_args(GraphUse)}, not {self.graph!r}")
        if not _is_whole(self.feature_seed) or self.feature_seed < 0:
            raise ConfigError(
                f"feature_seed must be a non-negative integer, not {self.feature_seed!r}"
            )

    @classmethod
    def preset(cls, name: str, *, genes: int | None = None) -> Self:
        """A named size.

        ``1b`` is the paper's; the others keep its structure at sizes for a laptop (``tiny``), one
        small GPU (``small``) and one large GPU (``base``).

        Args:
            name: one of ``PRESETS``.
            genes: size of the vocabulary; by default the paper's 27,874. ``high_genes`` shrinks to
                the same share of it (about 15 %) where the vocabulary is smaller.

        Raises:
            ConfigError: the name is not a preset.
        """
        if name not in PRESETS:
            raise ConfigError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
        genes = 27_874 if genes is None else genes
        high = min(4_096, max(1, round(genes * 4_096 / 27_874)))
        if name == "1b":
            return cls(genes=genes, high_genes=high)
        dim, large = {
            "tiny": (64, PerformerConfig(dim=128, depth=3, heads=4, dim_head=16)),
            "small": (128, PerformerConfig(dim=384, depth=8, heads=6)),
            "base": (200, PerformerConfig(dim=768, depth=16, heads=12)),
        }[name]
        side = PerformerConfig(dim=dim, depth=2, heads=4, dim_head=min(64, large.dim_head))
        return cls(genes=genes, dim=dim, high_genes=high, large=large, mini=side, full=side)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionary, for JSON and OmegaConf."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`; accepts any mapping, an OmegaConf ``DictConfig`` too.

        Raises:
            ConfigError: a key is unknown or a value is impossible.
        """
        nested = {
            "large": PerformerConfig,
            "mini": PerformerConfig,
            "full": PerformerConfig,
            "input": InputConfig,
        }
        known: dict[str, Any] = {
            name: _build(nested[name], values[name], name) for name in nested if name in values
        }
        return _build(cls, {**values, **known}, "model")


def _build(kind: type[T], values: Any, where: str) -> T:
    if isinstance(values, kind):
        return values
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a mapping of settings, not {type(values).__name__}")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # T is a dataclass here
    unknown = sorted(str(key) for key in set(values) - known)
    if unknown:
        raise ConfigError(
            f"unknown setting in {where}: {', '.join(unknown)} (known: {', '.join(sorted(known))})"
        )
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
