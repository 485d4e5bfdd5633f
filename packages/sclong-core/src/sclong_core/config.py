"""The shape of an scLong model: plain, frozen, validated when made."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar, get_args

from sclong_core.errors import ConfigError

LowExpression = Literal["encoder", "none", "random"]
GraphUse = Literal["edges", "none", "random", "shuffled"]
Attention = Literal["favor", "softmax"]
Storage = Literal["exact", "bfloat16"]
T = TypeVar("T")
PRESETS = ("tiny", "small", "base", "1b")
_PARTS = ("context", "readout", "student")
"""Parts that a model has or does not have."""


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
    attention: Attention = "favor"
    """"favor" estimates softmax attention at a cost that grows with the positions; "softmax"
    computes it, which is faster over some hundred positions."""

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
        _require_choice("Performer attention", self.attention, get_args(Attention))

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.dim_head

    @property
    def features(self) -> int:
        """Number of random features in use."""
        return self.random_features or int(self.dim_head * math.log(self.dim_head))


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {choices}, not {value!r}")


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
            if value is not None and not (isinstance(value, int | float) and 0 < value < 1e300):
                raise ConfigError(f"input {name} must be a positive number, not {value!r}")

    def describe(self) -> str:
        """The scale in words."""
        words = f"counts scaled to {self.target_sum:,.6g} per cell, then log1p"
        return words if self.maximum is None else f"{words}, rescaled to at most {self.maximum:g}"


@dataclass(frozen=True)
class ContextConfig:
    """Which genes of a cell the encoders read, in place of all genes of the vocabulary.

    They are variable genes of the readout. The large encoder reads the ``high_genes`` that lie most
    above their mean over the training cells, the mini encoder ``low_genes`` of the others, and the
    full encoder both together. Every other gene is represented by what it reads from these, and is
    read by none. So a cell costs the same whatever the size of the vocabulary, and a gene that was
    not measured is not zero.
    """

    low_genes: int = 64
    """Genes that the mini encoder reads: of those that the large one does not, the ones that lie
    farthest from their mean, on either side."""

    def __post_init__(self) -> None:
        """Refuse a number that is not positive."""
        _require_positive("context.low_genes", self.low_genes)


@dataclass(frozen=True)
class ReadoutConfig:
    """The vector of a cell as a part of the model, from which all of its genes are predicted.

    It is made of up to three parts, each left out by 0: the encoders (``queries``), the variable
    genes as they are (``sums``) and ``components``.
    """

    width: int = 128
    """Width of the vector, a bottleneck."""
    hidden: int = 512
    """Hidden width of the networks before and behind it."""
    queries: int = 4
    """Latent queries that read the gene representations of the full encoder."""
    variable_genes: int = 2_000
    """Genes of highest dispersion in the training cells, for the next two."""
    sums: int = 256
    """Width of the sums over variable genes of two learnt vectors each: for the scaled value, and
    for being expressed."""
    components: int = 100
    """Reference components: linear ones of the scaled variable genes of the training cells."""
    residual: bool = False
    """The vector starts as the components, to which the network adds what it learns. Then it is
    handed out alone, and with the components otherwise."""
    residual_share: float = 1.0
    """How much of what the network adds is handed out with such a vector: on cells unlike those of
    training less may be better."""

    @property
    def embedding_width(self) -> int:
        """Width of what is handed out."""
        return self.width + (0 if self.residual else self.components)

    def __post_init__(self) -> None:
        """Refuse numbers that leave nothing to read from."""
        for name in ("width", "hidden", "variable_genes"):
            _require_positive(f"readout.{name}", getattr(self, name))
        for name in ("queries", "sums", "components"):
            value = getattr(self, name)
            if not _is_whole(value) or value < 0:
                raise ConfigError(f"readout.{name} must be a non-negative integer, not {value!r}")
        if not self.queries + self.sums + self.components:
            raise ConfigError("readout needs queries, sums or components: all are 0")
        if self.residual and not 0 < self.components <= self.width:
            raise ConfigError(
                "readout.residual adds to the components: readout.components must be from 1 to "
                f"readout.width ({self.width}), not {self.components}"
            )
        if not 0 <= self.residual_share <= 1:
            raise ConfigError(
                f"readout.residual_share must be from 0 to 1, not {self.residual_share!r}"
            )
        if self.components > self.variable_genes:
            raise ConfigError(
                f"readout.components ({self.components}) must not exceed readout.variable_genes "
                f"({self.variable_genes})"
            )


@dataclass(frozen=True)
class StudentConfig:
    """Shape of a student: sums over the expressed genes of a cell, and a small network behind."""

    width: int = 128
    """Width of the vectors of cells: the teacher's."""
    rank: int = 64
    """Width of the two tables of genes, one for values and one for being expressed."""
    hidden: int = 256
    """Width behind the sums."""
    inner: int = 768
    """Width inside of a residual block."""
    blocks: int = 2
    """Residual blocks."""

    def __post_init__(self) -> None:
        """Refuse sizes that are not positive."""
        for name in ("width", "rank", "hidden", "inner", "blocks"):
            _require_positive(f"student.{name}", getattr(self, name))


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
    """Gene graph: used; left out ("none"); with weights drawn from U(0, 1) ("random"); or with
    edges that lead to other genes, as many from and to each ("shuffled"). "none" and "random" are
    the paper's ablations."""
    feature_seed: int = 0
    """Seed of the random features and of the random ablations."""
    input: InputConfig = InputConfig()
    """Normalisation of the expression the model is fed with."""
    context: ContextConfig | None = None
    """If set, the encoders read a few genes of a cell in place of all. It needs a ``readout``."""
    readout: ReadoutConfig | None = None
    """If set, the model has a vector of the cell, and says of each gene whether it is expressed.
    It needs a ``context``."""
    student: StudentConfig | None = None
    """If set, the model is a student: it has vectors of cells alone, and none of the parts above,
    whose sizes are those of its teacher."""
    storage: Storage = "exact"
    """Numbers in a checkpoint file: as they are in memory, or rounded to "bfloat16" in half of the
    space."""

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
        if not _is_whole(self.feature_seed) or not 0 <= self.feature_seed < 1 << 63:
            raise ConfigError(
                "feature_seed must be a non-negative integer of at most 63 bits, not "
                f"{self.feature_seed!r}"
            )
        _require_choice("storage", self.storage, get_args(Storage))
        self._check_parts()

    def _check_parts(self) -> None:
        """Refuse a context or readout that the rest has no room for."""
        if (self.context is None) != (self.readout is None):
            raise ConfigError("context and readout belong together: set both, or neither")
        if self.context is None or self.readout is None:
            return
        if self.low_expression != "encoder":
            raise ConfigError('a context needs low_expression="encoder"')
        variable = self.readout.variable_genes
        if variable > self.genes:
            raise ConfigError(
                f"readout.variable_genes ({variable}) must not exceed genes ({self.genes})"
            )
        if self.high_genes + self.context.low_genes > variable:
            raise ConfigError(
                f"high_genes ({self.high_genes}) and context.low_genes ({self.context.low_genes}) "
                f"together must not exceed readout.variable_genes ({variable})"
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
        """Plain nested dictionary, for JSON and OmegaConf.

        Parts that the paper's model does not have are named only where they are used, so that
        what is known by its configuration keeps its digest.
        """
        values = dataclasses.asdict(self)
        for name in ("large", "mini", "full"):
            if values[name]["attention"] == "favor":
                del values[name]["attention"]
        for name, absent in (*((part, None) for part in _PARTS), ("storage", "exact")):
            if values[name] == absent:
                del values[name]
        return values

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
            "context": ContextConfig,
            "readout": ReadoutConfig,
            "student": StudentConfig,
        }
        known: dict[str, Any] = {
            name: _build(nested[name], values[name], name)
            for name in nested
            if name in values and not (name in _PARTS and values[name] is None)
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
