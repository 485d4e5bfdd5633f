"""Embeddings without scLong: expression, components, and floors and ceiling of the metrics.

Highly variable genes are found by dispersion, as Seurat's first way and scanpy's
``flavor="seurat"`` do.
"""

import json
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import write_json
from sclong_tasks.batch_integration.data import IntegrationData
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.precomputed import Precomputed
from sclong_tasks.settings import as_plain
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

_BINS = 20


def highly_variable(
    logged: npt.NDArray[np.floating], genes: int, bins: int = _BINS
) -> npt.NDArray[np.int64]:
    """Places of the most variable genes, ascending.

    Dispersion (variance over mean) of the values before log1p, logarithmic, standardised within
    bins of genes of like mean. Genes that never vary come last.

    Args:
        logged: log1p expression, ``(cells, genes)``.
        genes: how many; all, where there are fewer.
        bins: of the mean.

    Raises:
        ConfigError: fewer than one gene is asked for.
    """
    if genes < 1:
        raise ConfigError("the number of variable genes must be positive")
    values = np.expm1(logged.astype(np.float64))
    mean, variance = values.mean(0), values.var(0, ddof=min(1, len(values) - 1))
    mean = np.where(mean == 0, 1e-12, mean)
    dispersion = variance / mean
    dispersion[dispersion == 0] = np.nan
    table = pd.DataFrame({"mean": np.log1p(mean), "dispersion": np.log(dispersion)})
    groups = table.groupby(pd.cut(table["mean"], bins=bins), observed=True)["dispersion"]
    middle, spread = groups.transform("mean"), groups.transform("std")
    # A gene alone in its bin has no spread: it counts as 1 above.
    alone = spread.isna()
    middle, spread = middle.mask(alone, 0.0), spread.mask(alone, middle)
    score = ((table["dispersion"] - middle) / spread).to_numpy(na_value=np.nan)
    score = np.where(np.isfinite(score), score, -np.inf)
    order = np.argsort(-score, kind="stable")[: min(genes, len(score))]
    found: npt.NDArray[np.int64] = np.sort(order)
    return found


Values = npt.NDArray[np.float32]
_FACTS, _ARRAYS = "model.json", "arrays.npz"


class Embedding(TaskModel[IntegrationData]):
    """A table of numbers for cells; what it is told of batches and types, its model says."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.facts: dict[str, Any] = {}
        self.context: RunContext | None = None

    def fit(self, data: IntegrationData, split: Split, context: RunContext) -> None:
        """Look at the cells to be embedded."""
        del split
        self.context = context
        self.learn(data)

    def learn(self, data: IntegrationData) -> None:
        """Keep in ``arrays`` what :meth:`embed` needs of these cells."""

    @abstractmethod
    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """Numbers of all cells, and the names of the columns."""

    def predict(self, data: IntegrationData, rows: Rows) -> pd.DataFrame:
        """The embedding of these cells."""
        values, names = self.embed(data)
        return pd.DataFrame(values[rows], index=rows, columns=names)

    def save(self, folder: Path) -> None:
        """Write options and arrays."""
        write_json(folder / _FACTS, {"options": as_plain(self.options), "facts": self.facts})
        arrays: dict[str, Any] = dict(self.arrays)
        np.savez_compressed(folder / _ARRAYS, **arrays)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: a file is missing or damaged.
        """
        try:
            content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            model = cls(cls.Options(**content["options"]))
            model.facts = content["facts"]
            with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
                model.arrays = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no model: {error}") from error
        model.context = context
        return model

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return dict(self.facts)

    @property
    def seed(self) -> int:
        """Of the run."""
        assert self.context is not None
        return self.context.seed


def numbered(values: npt.NDArray[Any]) -> tuple[Values, list[str]]:
    """Values with numbers for names."""
    return np.asarray(values, dtype=np.float32), [str(place) for place in range(values.shape[1])]


def expression_of(data: IntegrationData, genes: npt.NDArray[np.str_]) -> Values:
    """Expression of these genes, in this order.

    Raises:
        InputError: some are not in the data.
    """
    places = pd.Index(data.expression.genes).get_indexer(pd.Index(genes))
    missing = genes[places < 0].tolist()
    if missing:
        raise InputError(f"the cells lack {len(missing)} genes of the model: {shown(missing)}")
    return data.expression.log1p[:, places]


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
