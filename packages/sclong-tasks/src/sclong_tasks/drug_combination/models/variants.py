"""The network with each encoder: scLong, its ablations, and what it is compared to."""

from dataclasses import dataclass, field
from typing import ClassVar

from sclong_tasks.drug_combination.models.network import Network, NetworkOptions
from sclong_tasks.encoders.choose import EncoderOptions


class ScLong(Network):
    """scLong with its weights as they are, one number a gene (the mean over channels)."""


@dataclass
class FineTunedOptions(NetworkOptions):
    """All of scLong is trained."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(tuning="full"))


class FineTuned(Network):
    """scLong trained end to end."""

    Options: ClassVar[type] = FineTunedOptions


@dataclass
class LoraOptions(NetworkOptions):
    """Low-rank adapters of scLong are trained."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(tuning="lora"))


class Lora(Network):
    """scLong with low-rank adapters."""

    Options: ClassVar[type] = LoraOptions


@dataclass
class RandomOptions(NetworkOptions):
    """Weights that were never trained."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="random"))


class RandomScLong(Network):
    """scLong of the same shape, never trained."""

    Options: ClassVar[type] = RandomOptions


@dataclass
class NoLowOptions(NetworkOptions):
    """The paper's "w/o LEG"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(low_expression="none"))


class NoLowExpression(Network):
    """Ablation: genes of low expression left out."""

    Options: ClassVar[type] = NoLowOptions


@dataclass
class RandomLowOptions(NetworkOptions):
    """The paper's "Random LEG"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(low_expression="random"))


class RandomLowExpression(Network):
    """Ablation: random encoder of genes of low expression."""

    Options: ClassVar[type] = RandomLowOptions


@dataclass
class NoGraphOptions(NetworkOptions):
    """The paper's "w/o GO"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(graph="none"))


class NoGraph(Network):
    """Ablation: gene graph left out."""

    Options: ClassVar[type] = NoGraphOptions


@dataclass
class RandomGraphOptions(NetworkOptions):
    """The paper's "Random GO"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(graph="random"))


class RandomGraph(Network):
    """Ablation: random weights of the gene graph."""

    Options: ClassVar[type] = RandomGraphOptions


@dataclass
class RawOptions(NetworkOptions):
    """Expression itself."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="raw"))


class DeepDds(Network):
    """DeepDDS: the same network on expression itself."""

    Options: ClassVar[type] = RawOptions


@dataclass
class Gene2vecOptions(NetworkOptions):
    """Gene2vec table of the checkpoint."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="gene2vec"))


class Gene2vec(Network):
    """Mean of gene vectors, weighted by expression."""

    Options: ClassVar[type] = Gene2vecOptions


@dataclass
class GraphOptions(NetworkOptions):
    """Graph convolution of the checkpoint."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="graph"))


class GraphEmbedding(Network):
    """Mean of graph embeddings of genes, weighted by expression."""

    Options: ClassVar[type] = GraphOptions


@dataclass
class PrecomputedOptions(NetworkOptions):
    """``model.encoder.path`` names the file; an empty name waits for it."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="precomputed"))


class Precomputed(Network):
    """Representations of another model, from a file."""

    Options: ClassVar[type] = PrecomputedOptions


@dataclass
class GeneformerOptions(NetworkOptions):
    """``model.encoder.path`` names its folder."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="geneformer"))


class Geneformer(Network):
    """Geneformer's cell embeddings."""

    Options: ClassVar[type] = GeneformerOptions
