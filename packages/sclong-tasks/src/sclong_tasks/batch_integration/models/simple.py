"""Embeddings without scLong: expression, components, and floors and ceiling of the metrics."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from sklearn.decomposition import PCA

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.batch_integration.data import IntegrationData
from sclong_tasks.batch_integration.models.embedding import (
    Embedding,
    Values,
    expression_of,
    numbered,
)
from sclong_tasks.batch_integration.models.variable import highly_variable
from sclong_tasks.encoders.precomputed import Precomputed


class Raw(Embedding):
    """Expression of all genes."""

    def learn(self, data: IntegrationData) -> None:
        """Remember the genes."""
        self.arrays["genes"] = np.array(data.expression.genes)

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """Expression under the names of the genes."""
        genes = self.arrays["genes"]
        return expression_of(data, genes), genes.tolist()


@dataclass
class HvgOptions:
    """How many genes."""

    genes: int = 2000


class Hvg(Raw):
    """Expression of highly variable genes, no components (Kedzierska et al. 2025)."""

    Options: ClassVar[type] = HvgOptions

    def learn(self, data: IntegrationData) -> None:
        """Choose the genes."""
        chosen = highly_variable(data.expression.log1p, self.options.genes)
        self.arrays["genes"] = np.array(data.expression.genes)[chosen]


@dataclass
class PcaOptions:
    """Of highly variable genes."""

    genes: int = 2000
    components: int = 50


class Pca(Hvg):
    """Principal components of highly variable genes."""

    Options: ClassVar[type] = PcaOptions

    def learn(self, data: IntegrationData) -> None:
        """Find the components."""
        super().learn(data)
        values = expression_of(data, self.arrays["genes"]).astype(np.float64)
        count = min(self.options.components, *values.shape)
        found = PCA(count, svd_solver="full").fit(values)
        self.arrays["mean"], self.arrays["components"] = found.mean_, found.components_
        self.facts = {"explained": float(found.explained_variance_ratio_.sum())}

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """Cells in the components."""
        values = expression_of(data, self.arrays["genes"]) - self.arrays["mean"]
        return numbered(values @ self.arrays["components"].T)


class Permuted(Pca):
    """Floor: the components, each cell with those of another one."""

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """Rows in random order."""
        values, names = super().embed(data)
        return np.random.default_rng(self.seed).permutation(values), names


@dataclass
class RandomOptions:
    """How many numbers."""

    dim: int = 50

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ConfigError("model.dim must be positive")


class Random(Embedding):
    """Floor: normal numbers that have nothing to do with the cells."""

    Options: ClassVar[type] = RandomOptions

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """By the seed and the place of the cell."""
        shape = len(data.expression.cells), self.options.dim
        return numbered(np.random.default_rng(self.seed).normal(size=shape))


class ConstantAndNoise(Random):
    """Floor: one place for all cells, and a little noise."""

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """Ones, with noise of a thousandth."""
        values, names = super().embed(data)
        return np.asarray(1 + values / 1000, dtype=np.float32), names


class Labels(Embedding):
    """Ceiling: the cell type itself, with a little noise; the one model that is told it."""

    def learn(self, data: IntegrationData) -> None:
        """Remember the types."""
        self.arrays["types"] = np.unique(data.cell_type)

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """One number a type."""
        types = self.arrays["types"]
        unknown = np.setdiff1d(data.cell_type, types)
        if len(unknown):
            raise InputError(
                f"{len(unknown)} cell types are not known: {str(unknown[0])!r} is the first"
            )
        noise = np.random.default_rng(self.seed).normal(size=(len(data.cell_type), len(types)))
        values = (data.cell_type[:, None] == types[None, :]) + noise / 100
        return np.asarray(values, dtype=np.float32), types.tolist()


@dataclass
class ObsmOptions:
    """``model.key`` names the matrix."""

    key: str = ""


class Obsm(Embedding):
    """A matrix of the file's obsm: what any other program wrote there."""

    Options: ClassVar[type] = ObsmOptions

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """The matrix."""
        key = self.options.key
        if key not in data.embeddings:
            raise InputError(
                f"obsm has no {key!r}: it has {', '.join(data.embeddings) or 'none'}; name one "
                "with model.key"
            )
        return numbered(data.embeddings[key])


@dataclass
class PrecomputedOptions:
    """``model.path`` names the file."""

    path: str = ""
    key: str = ""
    need: float = 1.0


class FromFile(Embedding):
    """Embeddings of another program by name of the cell: h5ad, npz or parquet."""

    Options: ClassVar[type] = PrecomputedOptions

    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """The rows of these cells."""
        if not self.options.path:
            raise ConfigError("the model precomputed needs model.path=FILE")
        table = Precomputed.read(
            Path(self.options.path), key=self.options.key or None, need=self.options.need
        )
        found = table.cells(data.expression)
        self.facts = {**found.provenance, "coverage": found.coverage.describe()}
        return numbered(found.values)
