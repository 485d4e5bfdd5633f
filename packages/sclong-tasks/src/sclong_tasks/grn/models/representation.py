"""Weights from representations of genes: cosines, as they are or as DeepSEM's first network."""

import logging
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder, model_with
from sclong_tasks.encoders.protocol import Encoder
from sclong_tasks.encoders.published import PublishedEncoder
from sclong_tasks.encoders.sclong import ScLongEncoder
from sclong_tasks.grn.data import GrnData
from sclong_tasks.grn.models.edges import EdgeModel, Weights, cosines
from sclong_tasks.task import RunContext

_LOG = logging.getLogger("sclong")
RULES = ("channel_mean", "flattened")
_NOISE = 1e-5
"""Means over channels that differ by less are the same number: LayerNorm leaves only rounding."""


@dataclass
class CosineOptions:
    """Which representation of genes."""

    rule: str = "channel_mean"
    """Vector of a gene: its mean over channels in each cell (the paper's), or all channels of all
    cells ("flattened", which the released code multiplies)."""
    high_genes: int = 0
    """Genes of the large encoder; the checkpoint's where 0."""
    weights: str = "own"
    """Of a random scLong: drawn as the model draws them ("own"), or all from N(0, 1)."""
    permuted: bool = False
    """Control: each gene has the representation of another one, by the seed."""
    encoder: EncoderOptions = field(default_factory=EncoderOptions)

    def __post_init__(self) -> None:
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)
        if self.rule not in RULES:
            raise ConfigError(f"model.rule must be one of {', '.join(RULES)}, not {self.rule!r}")
        if self.encoder.tuning != "frozen":
            raise ConfigError("gene networks need a frozen encoder: nothing in them is labelled")


class Cosine(EdgeModel):
    """Zero-shot: the cosine of two genes' representations, the same in both directions."""

    Options: ClassVar[type] = CosineOptions

    def infer(self, data: GrnData, context: RunContext) -> npt.NDArray[Any]:
        """Cosines with all genes."""
        found, self.facts = gene_cosines(self.options, data, context)
        return found


def gene_cosines(
    options: CosineOptions, data: GrnData, context: RunContext
) -> tuple[Weights, dict[str, Any]]:
    """``(regulators, genes)`` cosines of representations, and facts for the record."""
    encoder = _encoder(options, data, context)
    regulators = np.asarray(data.regulators)
    order = np.arange(len(data.genes))
    if options.permuted:
        order = np.random.default_rng(context.seed).permutation(order)
    if isinstance(encoder, PublishedEncoder):
        found = encoder.genes_in_cells(data.cells)
        values = np.asarray(found.values)[order]
        weights = cosines(values, regulators)
    elif options.encoder.one_vector_a_gene:
        found = encoder.genes(data.genes)
        values = found.values[order]
        weights = cosines(np.asarray(values), regulators)
    else:
        found = encoder.cells(data.cells)
        if options.rule == "channel_mean":
            values = np.ascontiguousarray(np.asarray(found.values).T[order])
            values = np.where(np.abs(values) < _NOISE, 0, values)
            weights = cosines(values, regulators)
        else:
            weights, values = _flattened(found.values, order, regulators)
    facts = {**found.provenance, "coverage": found.coverage.describe(), "rule": options.rule}
    empty = np.flatnonzero(~np.any(values, axis=1))
    if len(empty):
        _LOG.info(
            "%d genes have a representation of zeros, and no edge: %s",
            len(empty),
            shown([data.genes[place] for place in empty]),
        )
    facts["genes_without_representation"] = len(empty)
    return weights, facts


def _flattened(
    values: npt.NDArray[np.float32],
    order: npt.NDArray[np.int64],
    regulators: npt.NDArray[np.int32],
) -> tuple[Weights, npt.NDArray[np.float32]]:
    """Cosines of ``(cells, genes, dim)`` values over cells and channels, cell by cell."""
    genes = len(order)
    inner = np.zeros((len(regulators), genes), dtype=np.float32)
    squares = np.zeros(genes)
    for cell in values:
        here = np.asarray(cell)[order]
        inner += here[regulators] @ here.T
        squares += (here.astype(np.float64) ** 2).sum(1)
    length = np.sqrt(squares)
    scale = np.where(length > 0, length, 1)
    return (inner / scale[regulators, None] / scale).astype(np.float32), length[:, None].astype(
        np.float32
    )


def _encoder(options: CosineOptions, data: GrnData, context: RunContext) -> Encoder:
    chosen = options.encoder
    if chosen.name in ("sclong", "random"):
        model = model_with(
            chosen, context, data.genes, high_genes=options.high_genes, weights=options.weights
        )
        return ScLongEncoder(
            model,
            name=chosen.name,
            pool="channel_mean" if options.rule == "channel_mean" else "none",
            batch_size=chosen.batch_size,
            cache=ContentCache(context.cache),
            progress=context.progress,
        )
    return make_encoder(chosen, context, data.genes)
