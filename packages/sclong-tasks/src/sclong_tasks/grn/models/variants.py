"""scLong, its ablations and controls, each zero-shot and as the start of DeepSEM."""

from typing import ClassVar

from sclong_tasks.encoders.variants import encoder_of, with_defaults
from sclong_tasks.grn.models.deepsem import DeepSem, DeepSemOptions
from sclong_tasks.grn.models.representation import Cosine, CosineOptions


class ScLongCosine(Cosine):
    """scLong, zero-shot."""


class ScLong(DeepSem):
    """DeepSEM from cosines of scLong's representations: the paper's."""


class PermutedScLong(DeepSem):
    """Control: scLong's representations, each of another gene."""

    Options: ClassVar[type] = with_defaults(DeepSemOptions, encoder_of("sclong"), permuted=True)


class RandomScLongCosine(Cosine):
    """scLong of the same shape, never trained, zero-shot."""

    Options: ClassVar[type] = with_defaults(CosineOptions, encoder_of("random"))


class RandomScLong(DeepSem):
    """DeepSEM from scLong of the same shape, never trained."""

    Options: ClassVar[type] = with_defaults(DeepSemOptions, encoder_of("random"))


class NoLowExpression(DeepSem):
    """Ablation: genes of low expression left out."""

    Options: ClassVar[type] = with_defaults(
        DeepSemOptions, encoder_of("sclong", low_expression="none")
    )


class RandomLowExpression(DeepSem):
    """Ablation: random encoder of genes of low expression."""

    Options: ClassVar[type] = with_defaults(
        DeepSemOptions, encoder_of("sclong", low_expression="random")
    )


class NoGraph(DeepSem):
    """Ablation: gene graph left out."""

    Options: ClassVar[type] = with_defaults(DeepSemOptions, encoder_of("sclong", graph="none"))


class RandomGraph(DeepSem):
    """Ablation: random weights of the gene graph."""

    Options: ClassVar[type] = with_defaults(DeepSemOptions, encoder_of("sclong", graph="random"))


class ShuffledGraph(DeepSem):
    """scLong whose gene graph leads elsewhere: edges shuffled, degrees kept."""

    Options: ClassVar[type] = with_defaults(DeepSemOptions, encoder_of("sclong", graph="shuffled"))


class Gene2vecCosine(Cosine):
    """Gene2vec vectors of the checkpoint, zero-shot."""

    Options: ClassVar[type] = with_defaults(CosineOptions, encoder_of("gene2vec"))


class Gene2vec(DeepSem):
    """DeepSEM from Gene2vec vectors of the checkpoint."""

    Options: ClassVar[type] = with_defaults(DeepSemOptions, encoder_of("gene2vec"))


class PrecomputedCosine(Cosine):
    """Gene representations of another model, from a file: ``model.encoder.path``."""

    Options: ClassVar[type] = with_defaults(CosineOptions, encoder_of("precomputed"))


class Precomputed(DeepSem):
    """DeepSEM from gene representations of another model."""

    Options: ClassVar[type] = with_defaults(DeepSemOptions, encoder_of("precomputed"))
