"""The network with each source of gene vectors: scLong, its ablations, what it is compared to."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

from sclong_tasks.encoders.choose import EncoderOptions
from sclong_tasks.genetic_perturbation.models.network import (
    Encoded,
    EncodedOptions,
    Gears,
    NetworkOptions,
)
from sclong_tasks.task import ProtocolName


class ScLong(Encoded):
    """scLong with its weights as they are."""


@dataclass
class WideOptions(NetworkOptions):
    """Of GEARS as wide as the published head of scLong."""

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """1,024 in either."""
        options = super().for_protocol(protocol)
        options.shape.hidden = 1024
        return options


class WideGears(Gears):
    """GEARS with the published width of scLong's head, which is 16 times its own."""

    Options: ClassVar[type] = WideOptions


@dataclass
class RandomOptions(EncodedOptions):
    """Weights that were never trained; ``model.encoder.weights=normal`` draws all from N(0, 1)."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="random"))


class RandomScLong(Encoded):
    """scLong of the same shape, never trained."""

    Options: ClassVar[type] = RandomOptions


@dataclass
class NoLowOptions(EncodedOptions):
    """The paper's "w/o LEG"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(low_expression="none"))


class NoLowExpression(Encoded):
    """Ablation: genes of low expression left out; they get the mean over the others."""

    Options: ClassVar[type] = NoLowOptions


@dataclass
class RandomLowOptions(EncodedOptions):
    """The paper's "Random LEG"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(low_expression="random"))


class RandomLowExpression(Encoded):
    """Ablation: random encoder of genes of low expression."""

    Options: ClassVar[type] = RandomLowOptions


@dataclass
class NoGraphOptions(EncodedOptions):
    """The paper's "w/o GO"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(graph="none"))


class NoGraph(Encoded):
    """Ablation: gene graph left out."""

    Options: ClassVar[type] = NoGraphOptions


@dataclass
class RandomGraphOptions(EncodedOptions):
    """The paper's "Random GO"."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(graph="random"))


class RandomGraph(Encoded):
    """Ablation: random weights of the gene graph."""

    Options: ClassVar[type] = RandomGraphOptions


@dataclass
class NoVectorsOptions(EncodedOptions):
    """Lacking in the paper."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(gene_vectors="none"))


class NoGeneVectors(Encoded):
    """Ablation: Gene2vec left out, and with it the graph convolution of its vectors."""

    Options: ClassVar[type] = NoVectorsOptions


@dataclass
class SingleOptions(EncodedOptions):
    """Lacking in the paper; ``model.encoder.high_genes`` sweeps between this and both encoders."""

    encoder: EncoderOptions = field(
        default_factory=lambda: EncoderOptions(low_expression="none", high_genes=-1)
    )


class SingleEncoder(Encoded):
    """Ablation: all genes through the large encoder, none through the mini one."""

    Options: ClassVar[type] = SingleOptions


@dataclass
class Gene2vecOptions(EncodedOptions):
    """Gene2vec table of the checkpoint."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="gene2vec"))


class Gene2vec(Encoded):
    """Gene2vec alone, the same in all cells."""

    Options: ClassVar[type] = Gene2vecOptions


@dataclass
class GraphOptions(EncodedOptions):
    """Graph convolution of the checkpoint."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="graph"))


class GraphEmbedding(Encoded):
    """The graph embedding alone, the same in all cells."""

    Options: ClassVar[type] = GraphOptions


@dataclass
class ExpressionOptions(EncodedOptions):
    """No encoder."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="raw"))


class Expression(Encoded):
    """The same head on the expression of each gene itself: one channel."""

    Options: ClassVar[type] = ExpressionOptions


@dataclass
class PrecomputedOptions(EncodedOptions):
    """``model.encoder.path`` names the file; an empty name waits for it."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="precomputed"))


class Precomputed(Encoded):
    """Vectors of genes by another model, from a file."""

    Options: ClassVar[type] = PrecomputedOptions


@dataclass
class GeneformerOptions(EncodedOptions):
    """``model.encoder.path`` names its folder."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="geneformer"))


class Geneformer(Encoded):
    """Geneformer's vectors of genes."""

    Options: ClassVar[type] = GeneformerOptions
