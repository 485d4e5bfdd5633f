"""Vectors of genes without scLong: expression over cells, chance, and those of other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError
from sclong_tasks.encoders.precomputed import Precomputed
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.marker_clustering.models.base import GeneModel, Values


class ExpressionCosine(GeneModel):
    """Expression of each gene over the drawn cells."""

    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """One number a cell."""
        logged: Values = data.drawn(kind, self.seed).log1p
        return np.array(logged[:, genes].T, dtype=np.float32)


class Correlation(ExpressionCosine):
    """The same less its mean, so that cosines are Pearson correlations over the drawn cells.

    A gene that is constant in these cells is like no other.
    """

    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """One number a cell."""
        values = super().vectors(data, kind, genes).astype(np.float64)
        centred: Values = (values - values.mean(1, keepdims=True)).astype(np.float32)
        constant = values.max(1) == values.min(1)
        centred[constant] = 0
        key = data.kinds[kind]
        self.facts.setdefault("constant_genes", {})[key] = int(constant.sum())
        vectors: Values = centred.astype(np.float32)
        return vectors


@dataclass
class RandomOptions:
    """How many numbers."""

    dim: int = 50

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ConfigError("model.dim must be positive")


class Random(GeneModel):
    """Floor: normal numbers that have nothing to do with the genes."""

    Options: ClassVar[type] = RandomOptions

    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """By the seed, the type and the place of the gene."""
        del data
        generator = np.random.default_rng([self.seed, kind])
        every = generator.normal(size=(int(genes.max(initial=-1)) + 1, self.options.dim))
        return every[genes].astype(np.float32)


@dataclass
class PrecomputedOptions:
    """``model.path`` names the file."""

    path: str = ""
    key: str = ""
    need: float = 1.0
    """Least share of the genes that it must hold."""


class FromFile(GeneModel):
    """Vectors of another program by name of the gene: h5ad, npz or parquet."""

    Options: ClassVar[type] = PrecomputedOptions

    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """The same in every type."""
        del kind
        if not self.options.path:
            raise ConfigError("the model precomputed needs model.path=FILE")
        table = Precomputed.read(
            Path(self.options.path), key=self.options.key or None, need=self.options.need
        )
        found = table.genes([data.expression.genes[gene] for gene in genes])
        self.facts.update(found.provenance)
        return found.values
