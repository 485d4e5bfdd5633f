"""The network with each encoder: scLong, its ablations, and what it is compared to."""

from typing import ClassVar

from sclong_tasks.drug_combination.models.network import Network, NetworkOptions
from sclong_tasks.encoders.variants import encoder_of, with_defaults


class ScLong(Network):
    """scLong with its weights as they are, one number a gene (the mean over channels)."""


class FineTuned(Network):
    """scLong trained end to end."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("sclong", tuning="full"))


class Lora(Network):
    """scLong with low-rank adapters."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("sclong", tuning="lora"))


class RandomScLong(Network):
    """scLong of the same shape, never trained."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("random"))


class NoLowExpression(Network):
    """Ablation: genes of low expression left out."""

    Options: ClassVar[type] = with_defaults(
        NetworkOptions, encoder_of("sclong", low_expression="none")
    )


class RandomLowExpression(Network):
    """Ablation: random encoder of genes of low expression."""

    Options: ClassVar[type] = with_defaults(
        NetworkOptions, encoder_of("sclong", low_expression="random")
    )


class NoGraph(Network):
    """Ablation: gene graph left out."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("sclong", graph="none"))


class RandomGraph(Network):
    """Ablation: random weights of the gene graph."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("sclong", graph="random"))


class ShuffledGraph(Network):
    """scLong whose gene graph leads elsewhere: edges shuffled, degrees kept."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("sclong", graph="shuffled"))


class DeepDds(Network):
    """DeepDDS: the same network on expression itself."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("raw"))


class Gene2vec(Network):
    """Mean of gene vectors, weighted by expression."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("gene2vec"))


class GraphEmbedding(Network):
    """Mean of graph embeddings of genes, weighted by expression."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("graph"))


class Precomputed(Network):
    """Representations of another model, from the file ``model.encoder.path``."""

    Options: ClassVar[type] = with_defaults(NetworkOptions, encoder_of("precomputed"))
