"""The suite of the evidence: variants, data and budget, from one YAML file."""

from dataclasses import asdict, dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sclong_core.config import GraphUse, LowExpression, ScLongConfig
from sclong_core.errors import ConfigError
from sclong_core.settings import load_settings

FULL = "sclong"
"""Name of the variant without any ablation."""


@dataclass
class Variant:
    """What differs from the full model."""

    low_expression: str = "encoder"
    """"encoder", or the paper's ablations "none" and "random"."""
    graph: str = "edges"
    """"edges", or the paper's ablations "none" and "random"."""
    trained: bool = True
    """Whether it is pretrained at all."""


@dataclass
class Source:
    """A data set."""

    name: str
    path: str
    """Below the folder of data."""
    label: str = ""
    """Column of obs with cell types, if there is one."""
    batch: str = ""
    """Column of obs with batches, if there is one."""
    normalisation: str = "auto"
    """What the values are: "auto", "raw" or "log1p"."""
    held_out: float = 0.0
    """Share of the cells that pretraining never sees."""


@dataclass
class NameFiles:
    """Files of gene names and annotations, below the folder of data."""

    hgnc: str
    gencode: str
    annotations: str


@dataclass
class MarkerLists:
    """Genes that are known to mark cell types: they are in the vocabulary, and measured."""

    path: str = ""
    """ScType's workbook, below the folder of data; none where empty."""
    cells: list[str] = field(default_factory=list)
    """Held-out data sets, whose types it lists."""


@dataclass
class NetworkSource:
    """Known networks of genes, and the cells that they are to be told from."""

    name: str
    """Of the cells: a data set that is held out, where there is no ``expression``."""
    edges: dict[str, str]
    """Name of a network -> its table of edges, below the folder of data."""
    expression: str = ""
    """BEELINE's table of expression, below the folder of data; its genes are in the vocabulary."""


@dataclass
class TrainingConfig:
    """One budget for all variants."""

    preset: str = "tiny"
    """Size of the model."""
    genes: int = 400
    """Those with most non-zeros in the data sets of pretraining; markers and genes of networks
    are there beside them."""
    steps: int = 200
    """Of the optimiser."""
    batch_size: int = 4
    """Cells a step."""
    learning_rate: float = 1.2e-3
    """The highest; it rises to it and falls as half a cosine."""
    masked: float = 0.15
    """Share of a cell's non-zero values that is hidden and scored."""
    neighbours: int = 20
    """Edges to a gene in the graph, at most."""
    threshold: float = 0.1
    """Jaccard index of annotations that an edge must exceed."""


@dataclass
class EvaluationConfig:
    """The same for all models and seeds: what differs between seeds is the training alone."""

    cells: int = 240
    """Of each data set, drawn once."""
    masked_cells: int = 60
    """Cells of them whose values are hidden and reconstructed."""
    seed: int = 0
    """Of cells, masks and splits."""
    splits: int = 5
    """Of cells into those that vote and those that are asked about."""
    nearest: int = 15
    """Cells that vote on a type."""
    components: int = 50
    """Of the principal components that embeddings are compared with."""
    fewest_edges: int = 50
    """Networks of fewer edges between known genes are counted and not measured."""
    fewest_factors: int = 5
    """The same of genes that edges start from."""


@dataclass
class EvidenceSuite:
    """What the evidence is a function of, beside the files."""

    variants: dict[str, Variant]
    names: NameFiles
    pretraining: list[Source]
    held_out: list[Source]
    markers: MarkerLists = field(default_factory=MarkerLists)
    networks: list[NetworkSource] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5])
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for digests and the record."""
        return asdict(self)


def read_evidence_suite(path: Path | None = None) -> EvidenceSuite:
    """Read and check a suite; by default the one that comes with the package.

    Raises:
        ConfigError: the file cannot be read, or asks for something that there is not.
    """
    if path is None:
        with as_file(files("sclong_bench") / "evidence" / "evidence.yaml") as shipped:
            return read_evidence_suite(shipped)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(EvidenceSuite), load_settings(path))
        suite = OmegaConf.to_object(merged)
    except (OSError, OmegaConfBaseException, ValueError, TypeError) as error:
        reason = " ".join(str(error).splitlines()[:1])
        raise ConfigError(f"{path} is no suite of evidence: {reason}") from error
    assert isinstance(suite, EvidenceSuite)
    _check(suite, path)
    return suite


def _check(suite: EvidenceSuite, path: Path) -> None:
    if FULL not in suite.variants:
        raise ConfigError(f"{path} has no variant {FULL!r}: others are compared with it")
    if not suite.seeds or len(set(suite.seeds)) < len(suite.seeds):
        raise ConfigError(f"{path}: give different seeds")
    names = [source.name for source in (*suite.pretraining, *suite.held_out)]
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: a data set occurs twice")
    _check_genes(suite, path)
    if min(suite.training.steps, suite.training.batch_size, suite.evaluation.cells) < 1:
        raise ConfigError(f"{path}: steps, batch_size and cells must be at least 1")
    ScLongConfig.preset(suite.training.preset, genes=suite.training.genes)
    for name, variant in suite.variants.items():
        if not set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_"):
            raise ConfigError(f"{path}: variant {name!r} must be of small letters, digits and _")
        try:
            ablation(variant)
        except ConfigError as error:
            raise ConfigError(f"{path}, variant {name}: {error}") from error


def _check_genes(suite: EvidenceSuite, path: Path) -> None:
    typed = {source.name for source in suite.held_out if source.label}
    if not set(suite.markers.cells) <= typed or bool(suite.markers.path) != bool(
        suite.markers.cells
    ):
        raise ConfigError(f"{path}: markers need a path, and data sets of held_out with types")
    names = [source.name for source in suite.networks]
    held_out = {source.name for source in suite.held_out}
    if len(set(names)) < len(names) or not all(
        source.edges and (source.expression or source.name in held_out) for source in suite.networks
    ):
        raise ConfigError(
            f"{path}: each network needs a name of its own, edges, and expression or the name of "
            "a data set of held_out"
        )


def ablation(variant: Variant) -> tuple[LowExpression | None, GraphUse | None]:
    """What of the network is removed or randomised, as its configuration says it.

    Raises:
        ConfigError: there is no such ablation.
    """
    low: dict[str, LowExpression | None] = {"encoder": None, "none": "none", "random": "random"}
    graph: dict[str, GraphUse | None] = {
        "edges": None, "none": "none", "random": "random", "shuffled": "shuffled",
    }  # fmt: skip
    if variant.low_expression not in low or variant.graph not in graph:
        raise ConfigError(
            f"a variant has low_expression encoder, none or random, and graph edges, none, "
            f"random or shuffled, not {variant.low_expression!r} and {variant.graph!r}"
        )
    return low[variant.low_expression], graph[variant.graph]
