"""The network with each source of gene vectors: scLong, its ablations, what it is compared to."""

from dataclasses import dataclass
from typing import ClassVar, Self

from sclong_tasks.encoders.variants import encoder_of, with_defaults
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


class RandomScLong(Encoded):
    """scLong of the same shape, untrained; ``encoder.weights=normal`` draws all from N(0, 1)."""

    Options: ClassVar[type] = with_defaults(EncodedOptions, encoder_of("random"))


class NoLowExpression(Encoded):
    """Ablation: genes of low expression left out; they get the mean over the others."""

    Options: ClassVar[type] = with_defaults(
        EncodedOptions, encoder_of("sclong", low_expression="none")
    )


class RandomLowExpression(Encoded):
    """Ablation: random encoder of genes of low expression."""

    Options: ClassVar[type] = with_defaults(
        EncodedOptions, encoder_of("sclong", low_expression="random")
    )


class NoGraph(Encoded):
    """Ablation: gene graph left out."""

    Options: ClassVar[type] = with_defaults(EncodedOptions, encoder_of("sclong", graph="none"))


class RandomGraph(Encoded):
    """Ablation: random weights of the gene graph."""

    Options: ClassVar[type] = with_defaults(EncodedOptions, encoder_of("sclong", graph="random"))


class ShuffledGraph(Encoded):
    """scLong whose gene graph leads elsewhere: edges shuffled, degrees kept."""

    Options: ClassVar[type] = with_defaults(EncodedOptions, encoder_of("sclong", graph="shuffled"))


class NoGeneVectors(Encoded):
    """Ablation: Gene2vec left out, and with it the graph convolution of its vectors."""

    Options: ClassVar[type] = with_defaults(
        EncodedOptions, encoder_of("sclong", gene_vectors="none")
    )


class SingleEncoder(Encoded):
    """Ablation: the large encoder for all genes; ``encoder.high_genes`` sweeps what is between."""

    Options: ClassVar[type] = with_defaults(
        EncodedOptions, encoder_of("sclong", low_expression="none", high_genes=-1)
    )


class Gene2vec(Encoded):
    """Gene2vec alone, the same in all cells."""

    Options: ClassVar[type] = with_defaults(EncodedOptions, encoder_of("gene2vec"))


class GraphEmbedding(Encoded):
    """The graph embedding alone, the same in all cells."""

    Options: ClassVar[type] = with_defaults(EncodedOptions, encoder_of("graph"))


class Expression(Encoded):
    """The same head on the expression of each gene itself: one channel."""

    Options: ClassVar[type] = with_defaults(EncodedOptions, encoder_of("raw"))


class Precomputed(Encoded):
    """Vectors of genes by another model, from the file ``model.encoder.path``."""

    Options: ClassVar[type] = with_defaults(EncodedOptions, encoder_of("precomputed"))
