"""Vectors for genes in each cell type: of scLong, of cells, of other programs, of chance."""

import json
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.embedding.inference import run_model, with_mean
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import prepare_cells
from sclong_core.files import write_json
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress
from sclong_tasks.cache import Arrays, ContentCache, digest_arrays
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder, make_model, make_published
from sclong_tasks.encoders.genes import find_genes, gene_table
from sclong_tasks.encoders.precomputed import Precomputed
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.encoders.published import PublishedEncoder
from sclong_tasks.encoders.sclong import model_digest, vocabulary_names
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.settings import as_plain
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

Values = npt.NDArray[np.float32]
_FACTS = "model.json"


class GeneModel(TaskModel[MarkerData]):
    """Vectors of genes; markers are not looked at, and nothing is learnt."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.facts: dict[str, Any] = {}
        self.seed = 0
        self.context: RunContext | None = None

    def fit(self, data: MarkerData, split: Split, context: RunContext) -> None:
        """Keep the seed, which draws the cells."""
        del data, split
        self.context, self.seed = context, context.seed

    @abstractmethod
    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """``(genes, numbers)`` of these genes in cells of one type."""

    def predict(self, data: MarkerData, rows: Rows) -> pd.DataFrame:
        """One line a gene in a type; types of shorter vectors are filled with zeros."""
        kinds = data.kind[rows]
        parts = {
            kind: self.vectors(data, int(kind), data.gene[rows[kinds == kind]])
            for kind in np.unique(kinds)
        }
        width = max((part.shape[1] for part in parts.values()), default=0)
        values = np.zeros((len(rows), width), dtype=np.float32)
        for kind, part in parts.items():
            values[np.flatnonzero(kinds == kind), : part.shape[1]] = part
        return pd.DataFrame(values, index=rows, columns=[str(one) for one in range(width)])

    def save(self, folder: Path) -> None:
        """Options and seed; a checkpoint is named by its digest, and given again to predict."""
        content = {"options": as_plain(self.options), "facts": self.facts, "seed": self.seed}
        write_json(folder / _FACTS, content)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file is missing or damaged.
        """
        try:
            content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            model = cls(cls.Options(**content["options"]))
            model.facts, model.seed = content["facts"], content["seed"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no model: {error}") from error
        model.context = context
        return model

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return dict(self.facts)


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


@dataclass
class PublishedOptions:
    """Which encoder."""

    encoder: EncoderOptions = field(default_factory=lambda: EncoderOptions(name="scgpt"))

    def __post_init__(self) -> None:
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)
        if not self.encoder.published:
            raise ConfigError(f"model.encoder.name={self.encoder.name}: not a published model")


class PublishedGenes(GeneModel):
    """States of genes, averaged over the drawn cells that hold them; other genes get the mean."""

    Options: ClassVar[type] = PublishedOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._encoder: PublishedEncoder | None = None

    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """Through the model, once for each type."""
        assert self.context is not None
        if self._encoder is None:
            self._encoder = make_published(self.options.encoder, self.context)
        found = self._encoder.genes_in_cells(data.drawn(kind, self.seed))
        self.facts.update(found.provenance, coverage=found.coverage.describe())
        return np.asarray(found.values)[genes]


_VERSION = 1


@dataclass
class ScLongOptions:
    """Which weights."""

    encoder: EncoderOptions = field(default_factory=EncoderOptions)

    def __post_init__(self) -> None:
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)


class ScLongGenes(GeneModel):
    """The paper's: representations of genes, averaged over the drawn cells of a type.

    A gene that the model does not know gets the mean over all genes of the cell.
    """

    Options: ClassVar[type] = ScLongOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._loaded: ScLong | None = None
        self._digest = ""

    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """Through the model, once for each type."""
        assert self.context is not None
        options: EncoderOptions = self.options.encoder
        model = self._model(data, options)
        assert model.vocabulary is not None
        table = tuple(map(Path, options.gene_tables))
        positions, coverage = find_genes(
            data.expression.genes, model.vocabulary, gene_table(table) if table else None
        )
        self.facts.update(model=self._digest, coverage=coverage.describe())
        cells = data.drawn(kind, self.seed)
        key = {"what": "mean gene representations", "version": _VERSION, "model": self._digest}
        key.update(cells=cells.digest, genes=digest_arrays(positions))

        def compute() -> Arrays:
            return {"genes": self._mean(model, cells, positions)}

        found = ContentCache(self.context.cache).arrays(key, compute)["genes"]
        return np.asarray(found)[genes]

    def _model(self, data: MarkerData, options: EncoderOptions) -> ScLong:
        """The same for all types of a run."""
        assert self.context is not None
        if self._loaded is None:
            self._loaded = make_model(options, self.context, data.expression.genes)
            self._digest = model_digest(self._loaded)
        return self._loaded

    def _mean(
        self, model: ScLong, table: ExpressionTable, positions: npt.NDArray[np.int64]
    ) -> Values:
        """Cell by cell, so that no more than one block of representations is held."""
        vocabulary = model.vocabulary
        assert vocabulary is not None
        assert self.context is not None
        names = vocabulary_names(table.genes, positions, vocabulary)
        total = np.zeros((len(table.genes), model.config.dim))
        with (
            prepare_cells(
                table.anndata(names),
                vocabulary,
                model.config.input,
                normalisation="log1p",
                allow_poor_match=True,  # the report says how much is known
            ) as cells,
            cell_progress("sclong", len(cells), shown=self.context.progress) as advance,
        ):
            size = self.options.encoder.batch_size
            for batch in run_model(model, cells, batch_size=size, advance=advance):
                chosen = with_mean(batch.output.gene_representations, positions)
                total += chosen.double().sum(0).cpu().numpy()
        return (total / len(table.cells)).astype(np.float32)


class FixedVectors(GeneModel):
    """Vectors of genes that are the same in every cell."""

    Options: ClassVar[type] = ScLongOptions

    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """The same in every type."""
        del kind
        assert self.context is not None
        encoder = make_encoder(self.options.encoder, self.context, data.expression.genes)
        found = encoder.genes([data.expression.genes[gene] for gene in genes])
        self.facts.update(found.provenance)
        return found.values
