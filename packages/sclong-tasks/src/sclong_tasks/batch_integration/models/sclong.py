"""scLong as it is: all pooling rules, ablations, random weights, and its gene vectors alone."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, get_args

import numpy as np

from sclong_core.embedding.inference import run_model, with_mean
from sclong_core.embedding.pooling import Pool, check_pool, pool_cells
from sclong_core.embedding.progress import cell_progress
from sclong_core.errors import ConfigError
from sclong_core.expression import prepare_cells
from sclong_core.model import ScLong
from sclong_tasks.batch_integration.data import IntegrationData
from sclong_tasks.batch_integration.models.embedding import Embedding, Values, numbered
from sclong_tasks.cache import ContentCache, digest_arrays
from sclong_tasks.encoders.choose import WEIGHTS, EncoderOptions, make_encoder, make_model
from sclong_tasks.encoders.genes import find_genes
from sclong_tasks.encoders.sclong import model_digest, vocabulary_names
from sclong_tasks.task import RunContext

_VERSION = 2


@dataclass
class ScLongOptions:
    """Which weights, and how genes become a cell."""

    pool: str = "gene_sums"
    """"gene_sums" (the paper's: for each gene the sum of its representation and its
    reconstruction), "mean", "mean_expressed" or "expression_weighted"."""
    high_genes: int = 0
    """Genes of the large encoder; the checkpoint's where 0."""
    weights: str = "own"
    """Of a random scLong: drawn as the model draws them ("own"), or all from N(0, 1)."""
    encoder: EncoderOptions = field(default_factory=EncoderOptions)

    def __post_init__(self) -> None:
        check_pool(self.pool)
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)
        if self.weights not in WEIGHTS:
            raise ConfigError(f"model.weights must be one of {', '.join(WEIGHTS)}")
        if self.weights == "normal" and self.encoder.name != "random":
            raise ConfigError("model.weights=normal goes with a random scLong")


class ScLongSums(Embedding):
    """scLong with the paper's rule: one number for each gene of the data."""

    Options: ClassVar[type] = ScLongOptions

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """All cells through the model."""
        assert self.context is not None
        options: ScLongOptions = self.options
        model = chosen_model(options, self.context, data.expression.genes)
        table = data.expression
        assert model.vocabulary is not None
        positions, coverage = find_genes(table.genes, model.vocabulary)
        self.facts = {"model": model_digest(model), "coverage": coverage.describe()}
        key = {"what": "pooled scLong", "version": _VERSION, **self.facts}
        key.update(cells=table.digest, genes=digest_arrays(positions))
        cache = ContentCache(self.context.cache)
        found = cache.arrays(key, lambda: self._pooled(model, data, positions))
        values = np.asarray(found[options.pool])
        if options.pool == "gene_sums":
            return values, list(table.genes)
        return numbered(values)

    def _pooled(
        self,
        model: ScLong,
        data: IntegrationData,
        positions: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    ) -> dict[str, Values]:
        """Cells by every rule, from one pass."""
        table, vocabulary = data.expression, model.vocabulary
        assert vocabulary is not None
        assert self.context is not None
        names = vocabulary_names(table.genes, positions, vocabulary)
        parts: dict[Pool, list[Values]] = {rule: [] for rule in get_args(Pool)}
        with (
            prepare_cells(
                table.anndata(names), vocabulary, model.config.input, normalisation="log1p"
            ) as cells,
            cell_progress("sclong", len(cells), shown=self.context.progress) as advance,
        ):
            size = self.options.encoder.batch_size
            for batch in run_model(model, cells, batch_size=size, advance=advance):
                for rule, found in parts.items():
                    pooled = pool_cells(batch.output, batch.expression, rule)
                    if rule == "gene_sums":
                        pooled = with_mean(pooled, positions)
                    found.append(pooled.float().cpu().numpy())
        return {rule: np.concatenate(found) for rule, found in parts.items()}


def chosen_model(options: ScLongOptions, context: RunContext, genes: tuple[str, ...]) -> ScLong:
    """The checkpoint, an ablation, or random weights; with another number of high genes."""
    encoder = dataclasses.replace(
        options.encoder, high_genes=options.high_genes, weights=options.weights
    )
    return make_model(encoder, context, genes)


def _options(name: str, make: Callable[[], EncoderOptions], pool: str = "gene_sums") -> type:
    """Options with other defaults."""
    return dataclasses.make_dataclass(
        name,
        [
            ("pool", str, field(default=pool)),
            ("encoder", EncoderOptions, field(default_factory=make)),
        ],
        bases=(ScLongOptions,),
    )


class ScLongMean(ScLongSums):
    """The mean over genes."""

    Options: ClassVar[type] = _options("MeanOptions", EncoderOptions, "mean")


class ScLongMeanExpressed(ScLongSums):
    """The mean over expressed genes."""

    Options: ClassVar[type] = _options("ExpressedOptions", EncoderOptions, "mean_expressed")


class ScLongWeighted(ScLongSums):
    """The mean weighted by expression."""

    Options: ClassVar[type] = _options("WeightedOptions", EncoderOptions, "expression_weighted")


class RandomScLong(ScLongSums):
    """Weights that were never trained, by the paper's rule."""

    Options: ClassVar[type] = _options("RandomOptions", lambda: EncoderOptions(name="random"))


class RandomScLongMean(ScLongSums):
    """Weights that were never trained, the mean over genes."""

    Options: ClassVar[type] = _options(
        "RandomMeanOptions", lambda: EncoderOptions(name="random"), "mean"
    )


class RandomScLongMeanExpressed(ScLongSums):
    """Weights that were never trained, the mean over expressed genes."""

    Options: ClassVar[type] = _options(
        "RandomExpressedOptions", lambda: EncoderOptions(name="random"), "mean_expressed"
    )


class RandomScLongWeighted(ScLongSums):
    """Weights that were never trained, the mean weighted by expression."""

    Options: ClassVar[type] = _options(
        "RandomWeightedOptions", lambda: EncoderOptions(name="random"), "expression_weighted"
    )


@dataclass
class NormalOptions(ScLongOptions):
    """Weights from N(0, 1), as the paper draws those of its ablation."""

    weights: str = "normal"
    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="random"))


class NormalScLong(ScLongSums):
    """All weights from N(0, 1), by the paper's rule."""

    Options: ClassVar[type] = NormalOptions


class NoLowExpression(ScLongSums):
    """Ablation: genes of low expression left out."""

    Options: ClassVar[type] = _options(
        "NoLowOptions", lambda: EncoderOptions(low_expression="none")
    )


class RandomLowExpression(ScLongSums):
    """Ablation: random encoder of genes of low expression."""

    Options: ClassVar[type] = _options(
        "RandomLowOptions", lambda: EncoderOptions(low_expression="random")
    )


class NoGraph(ScLongSums):
    """Ablation: gene graph left out."""

    Options: ClassVar[type] = _options("NoGraphOptions", lambda: EncoderOptions(graph="none"))


class RandomGraph(ScLongSums):
    """Ablation: random weights of the gene graph."""

    Options: ClassVar[type] = _options("RandomGraphOptions", lambda: EncoderOptions(graph="random"))


@dataclass
class VectorOptions:
    """Parts of the checkpoint."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="gene2vec"))

    def __post_init__(self) -> None:
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)


class Gene2vec(Embedding):
    """Gene2vec vectors of the checkpoint, weighted by expression."""

    Options: ClassVar[type] = VectorOptions

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """Means of gene vectors."""
        assert self.context is not None
        encoder = make_encoder(self.options.encoder, self.context, data.expression.genes)
        found = encoder.cells(data.expression)
        self.facts = {**found.provenance, "coverage": found.coverage.describe()}
        return numbered(found.values)


@dataclass
class GraphOptions(VectorOptions):
    """The graph convolution."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="graph"))


class Graph(Gene2vec):
    """Graph embeddings of genes, weighted by expression."""

    Options: ClassVar[type] = GraphOptions
