"""scLong as an encoder whose weights stay as they are: trained, ablated, or random.

What it gives for a table of cells is computed once and kept under the hash of weights, cells and
options. It is written block by block to disk and mapped from there, so that representations of all
genes of many cells need no memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from sclong_core.config import ScLongConfig
from sclong_core.embedding.inference import embed_cells, run_model, with_mean
from sclong_core.embedding.pooling import chosen_pool, pool_width
from sclong_core.errors import ConfigError
from sclong_core.expression import prepare_cells
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.table import GeneTable
from sclong_tasks.cache import ContentCache, digest_arrays, digest_of, open_array
from sclong_tasks.encoders.genes import find_genes
from sclong_tasks.encoders.protocol import ExpressionTable, Representation

Pool = Literal["channel_mean", "gene_mean", "expressed_mean", "cell", "none"]
"""``channel_mean``: one number a gene, the mean over channels (the paper's, for drugs);
``gene_mean``: one vector a cell, the mean over the genes of the data; ``expressed_mean``: the same
over those that are expressed; ``cell``: the model's own vector, of a model that has one; ``none``:
all ``(genes, dim)``."""
_VERSION = 1


@dataclass(eq=False)
class ScLongEncoder:
    """A frozen scLong.

    Args:
        model: with its vocabulary.
        name: of the encoder.
        pool: from gene representations to a representation of the cell.
        batch_size: cells at a time; it changes nothing else.
        cache: where representations are kept.
        table: of other names of genes.
        progress: draw progress.
    """

    model: ScLong
    name: str = "sclong"
    pool: Pool = "channel_mean"
    batch_size: int = 8
    cache: ContentCache | None = None
    table: GeneTable | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown rules, and models that cannot read cells."""
        if self.pool not in get_args(Pool):
            raise ConfigError(f"pool must be one of {', '.join(get_args(Pool))}, not {self.pool!r}")
        if self.model.vocabulary is None:
            raise ConfigError("a model without a vocabulary cannot read cells")
        if self.pool == "cell":
            chosen_pool(self.model, "cell")

    @cached_property
    def digest(self) -> str:
        """Of everything that the representations depend on beside the cells."""
        return model_digest(self.model)

    def cells(self, expression: ExpressionTable) -> Representation:
        """Representations of cells; genes that the model does not know count as in the release.

        With ``channel_mean`` and ``none`` there is one for each gene of the data, in their order;
        an unknown gene gets the mean over all genes of the cell.
        """
        positions, coverage = find_genes(expression.genes, _vocabulary(self.model), self.table)
        facts = {"encoder": self.name, "model": self.digest, "pool": self.pool}
        key = {"what": "scLong", "version": _VERSION, **facts, "cells": expression.digest}
        key["genes"] = digest_arrays(positions)
        cache = self.cache
        if cache is None or cache.root is None:
            values = np.empty(self._shape(expression), np.float32)
            self._compute(expression, positions, values)
        else:
            values = open_array(
                cache.folder(key, self._filler(expression, positions)) / "cells.npy"
            )
        return Representation(values, expression.cells, coverage, facts)

    def genes(self, names: Sequence[str]) -> Representation:
        """``(genes, dim)``: gene vectors plus graph convolution, the same in every cell."""
        from sclong_tasks.encoders.tables import vectors_of_model  # noqa: PLC0415  # it is beside

        found = vectors_of_model(self.model, "both", table=self.table).genes(names)
        return replace(found, provenance={"encoder": self.name, "model": self.digest})

    def _shape(self, expression: ExpressionTable) -> tuple[int, ...]:
        cells, genes, dim = len(expression.cells), len(expression.genes), self.model.config.dim
        by_pool = {"channel_mean": (cells, genes), "none": (cells, genes, dim)}
        if self.pool == "cell":
            return cells, pool_width(self.model, "cell")
        return by_pool.get(self.pool, (cells, dim))

    def _filler(self, expression: ExpressionTable, positions: npt.NDArray[np.int64]) -> "_Filler":
        return _Filler(self, expression, positions)

    def _compute(
        self,
        expression: ExpressionTable,
        positions: npt.NDArray[np.int64],
        values: npt.NDArray[np.float32],
    ) -> None:
        """Fill ``values`` block by block."""
        names = vocabulary_names(expression.genes, positions, _vocabulary(self.model))
        with (
            prepare_cells(
                expression.anndata(names),
                _vocabulary(self.model),
                self.model.config.input,
                normalisation="log1p",
                allow_poor_match=True,  # the report says how much is known
            ) as cells,
            cell_progress(self.name, len(cells), shown=self.progress) as advance,
        ):
            if self.pool == "cell":
                values[:] = embed_cells(
                    self.model, cells, pool="cell", batch_size=self.batch_size, advance=advance
                )
                return
            expressed = torch.from_numpy(expression.log1p > 0)
            batches = run_model(self.model, cells, batch_size=self.batch_size, advance=advance)
            for batch in batches:
                chosen = with_mean(batch.output.gene_representations, positions)
                pooled = pool_genes(chosen, expressed[batch.cells].to(chosen.device), self.pool)
                values[batch.cells] = pooled.float().cpu().numpy()


@dataclass
class _Filler:
    """Writes representations into a folder of the cache."""

    encoder: ScLongEncoder
    expression: ExpressionTable
    positions: npt.NDArray[np.int64]

    def __call__(self, folder: Path) -> None:
        encoder = self.encoder
        shape = encoder._shape(self.expression)  # noqa: SLF001  # its other half
        values = open_memmap(folder / "cells.npy", mode="w+", dtype=np.float32, shape=shape)
        encoder._compute(self.expression, self.positions, values)  # noqa: SLF001  # its other half
        values.flush()


def pool_genes(chosen_bgc: Tensor, expressed_bg: Tensor, pool: Pool) -> Tensor:
    """From representations ``(cells, genes, dim)`` of the data's genes to what ``pool`` says."""
    if pool == "channel_mean":
        return chosen_bgc.mean(-1)
    if pool == "gene_mean":
        return chosen_bgc.mean(1)
    if pool == "expressed_mean":
        weights = expressed_bg.to(chosen_bgc.dtype)
        weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, torch.ones_like(weights))
        weights = weights / weights.sum(1, keepdim=True)
        return torch.einsum("bg,bgc->bc", weights, chosen_bgc)
    return chosen_bgc


def vocabulary_names(
    genes: Sequence[str], positions: npt.NDArray[np.int64], vocabulary: GeneVocabulary
) -> list[str]:
    """The genes of the data under the vocabulary's ids, where it holds them."""
    return [
        vocabulary.ids[place] if place >= 0 else name
        for name, place in zip(genes, positions.tolist(), strict=True)
    ]


def random_sclong(
    config: ScLongConfig, vocabulary: GeneVocabulary, *, seed: int, like: ScLong | None = None
) -> ScLong:
    """An scLong that was never trained: the model's own initial weights.

    Args:
        config: the shape.
        vocabulary: the genes.
        seed: of weights and random features.
        like: a model whose gene graph it uses.
    """
    graph = None if like is None else like.graph
    if graph is None:
        config = replace(config, graph="none")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = ScLong(replace(config, feature_seed=seed), vocabulary, graph)
    return model.eval()


def model_digest(model: ScLong) -> str:
    """SHA-256 over weights, random features, genes, graph and configuration."""
    tensors = {
        name: digest_arrays(tensor.detach().cpu().float().numpy())
        for name, tensor in model.state_dict().items()
    }
    facts: dict[str, Any] = {"config": model.config.to_dict(), "tensors": tensors}
    facts["vocabulary"] = None if model.vocabulary is None else model.vocabulary.digest
    facts["graph"] = None if model.graph is None else model.graph.digest
    return digest_of(facts)


def _vocabulary(model: ScLong) -> GeneVocabulary:
    assert model.vocabulary is not None
    return model.vocabulary
