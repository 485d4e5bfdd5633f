"""Gene representations of scLong in cells of a type, its ablations, and its gene vectors alone."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sclong_core.embedding.inference import run_model, with_mean
from sclong_core.expression import prepare_cells
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress
from sclong_tasks.cache import Arrays, ContentCache, digest_arrays
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder, make_model
from sclong_tasks.encoders.genes import find_genes, gene_table
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.encoders.sclong import model_digest, vocabulary_names
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.marker_clustering.models.base import GeneModel, Values

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
