"""scLong as it is: all pooling rules, ablations, random weights, and its gene vectors alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclong_core.config import InputConfig
from sclong_core.embedding.inference import Advance, Batch, embed_cells, run_model, with_mean
from sclong_core.embedding.pooling import OF_READOUT, Pool, check_pool, chosen_pool, pool_cells
from sclong_core.errors import ConfigError
from sclong_core.expression import prepare_cells
from sclong_core.expression.prepared import PreparedCells
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress
from sclong_tasks.batch_integration.data import IntegrationData
from sclong_tasks.batch_integration.models.simple import Embedding, Values, numbered
from sclong_tasks.cache import ContentCache, digest_arrays
from sclong_tasks.encoders.choose import (
    EncoderOptions,
    check_weights,
    make_encoder,
    model_with,
)
from sclong_tasks.encoders.genes import find_genes
from sclong_tasks.encoders.sclong import model_digest, vocabulary_names

_VERSION = 2
Places = npt.NDArray[np.int64]


@dataclass
class ScLongOptions:
    """Which weights, and how genes become a cell."""

    pool: str = "gene_sums"
    """"gene_sums" (the paper's: for each gene the sum of its representation and its
    reconstruction), "mean", "mean_expressed" or "expression_weighted"; of a model with a readout
    also "cell", its own vector, or "components"."""
    high_genes: int = 0
    """Genes of the large encoder; the checkpoint's where 0."""
    weights: str = "own"
    """Of a random scLong: drawn as the model draws them ("own"), or all from N(0, 1)."""
    encoder: EncoderOptions = field(default_factory=EncoderOptions)

    def __post_init__(self) -> None:
        check_pool(self.pool)
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)
        check_weights(self.weights, self.encoder)


class ScLongSums(Embedding):
    """scLong with the paper's rule: one number for each gene of the data."""

    Options: ClassVar[type] = ScLongOptions

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """All cells through the model."""
        assert self.context is not None
        options: ScLongOptions = self.options
        table = data.expression
        model = model_with(
            options.encoder,
            self.context,
            table.genes,
            high_genes=options.high_genes,
            weights=options.weights,
        )
        assert model.vocabulary is not None
        positions, coverage = find_genes(table.genes, model.vocabulary)
        self.facts = {"model": model_digest(model), "coverage": coverage.describe()}
        key = {"what": "pooled scLong", "version": _VERSION, **self.facts}
        key.update(cells=table.digest, genes=digest_arrays(positions), **self._variant())
        cache = ContentCache(self.context.cache)
        if options.pool in OF_READOUT:
            rule = chosen_pool(model, options.pool)
            key["pool"] = rule
            found = cache.arrays(key, lambda: {rule: self._own(model, data, positions, rule)})
        else:
            found = cache.arrays(key, lambda: self._pooled(model, data, positions))
        values = np.asarray(found[options.pool])
        if options.pool == "gene_sums":
            return values, self._names(table.genes, positions)
        return numbered(values)

    def _variant(self) -> dict[str, Any]:
        """What differs from the model as it is, for the cache."""
        return {}

    def _input(self, model: ScLong) -> InputConfig:
        """How expression is normalised."""
        return model.config.input

    def _names(self, genes: Sequence[str], _positions: Places) -> list[str]:
        """Of the genes that are summed."""
        return list(genes)

    def _pool(self, batch: Batch, rule: Pool, positions: Places) -> Tensor:
        """One vector a cell."""
        pooled = pool_cells(batch.output, batch.expression, rule)
        return with_mean(pooled, positions) if rule == "gene_sums" else pooled

    def _own(self, model: ScLong, data: IntegrationData, positions: Places, rule: Pool) -> Values:
        """Cells by a rule of the model's own."""
        size = self.options.encoder.batch_size
        with self._prepared(model, data, positions) as (cells, advance):
            return embed_cells(model, cells, pool=rule, batch_size=size, advance=advance)

    def _pooled(self, model: ScLong, data: IntegrationData, positions: Places) -> dict[str, Values]:
        """Cells by every rule that reads gene representations, from one pass."""
        parts: dict[Pool, list[Values]] = {
            rule: [] for rule in get_args(Pool) if rule not in OF_READOUT
        }
        with self._prepared(model, data, positions) as (cells, advance):
            size = self.options.encoder.batch_size
            for batch in run_model(model, cells, batch_size=size, advance=advance):
                for rule, found in parts.items():
                    found.append(self._pool(batch, rule, positions).float().cpu().numpy())
        return {rule: np.concatenate(found) for rule, found in parts.items()}

    @contextmanager
    def _prepared(
        self, model: ScLong, data: IntegrationData, positions: Places
    ) -> Iterator[tuple[PreparedCells, Advance]]:
        table, vocabulary = data.expression, model.vocabulary
        assert vocabulary is not None
        assert self.context is not None
        names = vocabulary_names(table.genes, positions, vocabulary)
        with (
            prepare_cells(
                table.anndata(names),
                vocabulary,
                self._input(model),
                normalisation="log1p",
                allow_poor_match=True,  # the report says how much is known
            ) as cells,
            cell_progress("sclong", len(cells), shown=self.context.progress) as advance,
        ):
            yield cells, advance


@dataclass
class VariantOptions(ScLongOptions):
    """What users of the release changed."""

    maximum: float = 0.0
    """Each cell is rescaled to this highest value, as in the paper (10); the checkpoint's where
    0."""
    measured: bool = False
    """Only genes that the data has are pooled; of them, those that the model knows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.maximum < 0:
            raise ConfigError(f"model.maximum must not be negative, not {self.maximum}")
        if self.pool in OF_READOUT and self.measured:
            raise ConfigError(
                f'model.measured goes with rules over genes, not with the pool "{self.pool}"'
            )


class ScLongVariant(ScLongSums):
    """scLong with another scale of its input, or with measured genes alone."""

    Options: ClassVar[type] = VariantOptions

    def _variant(self) -> dict[str, Any]:
        return {"maximum": self.options.maximum, "measured": self.options.measured}

    def _input(self, model: ScLong) -> InputConfig:
        maximum = self.options.maximum
        return replace(model.config.input, maximum=maximum) if maximum else model.config.input

    def _names(self, genes: Sequence[str], positions: Places) -> list[str]:
        if not self.options.measured:
            return super()._names(genes, positions)
        return [gene for gene, place in zip(genes, positions, strict=True) if place >= 0]

    def _pool(self, batch: Batch, rule: Pool, positions: Places) -> Tensor:
        if not self.options.measured:
            return super()._pool(batch, rule, positions)
        known = torch.from_numpy(positions[positions >= 0]).to(batch.expression.device)
        output = batch.output._replace(
            gene_representations=batch.output.gene_representations[:, known],
            reconstruction=batch.output.reconstruction[:, known],
        )
        return pool_cells(output, batch.expression[:, known], rule)


@dataclass
class VectorOptions:
    """Which encoder."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="gene2vec"))

    def __post_init__(self) -> None:
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)


class Encoded(Embedding):
    """Vectors of cells by an encoder that gives one a cell, as they are."""

    Options: ClassVar[type] = VectorOptions

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """All cells."""
        assert self.context is not None
        encoder = make_encoder(self.options.encoder, self.context, data.expression.genes)
        found = encoder.cells(data.expression)
        self.facts = {**found.provenance, "coverage": found.coverage.describe()}
        return numbered(found.values)
