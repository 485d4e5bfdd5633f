"""Weights without training: correlation, partial correlation, ontology, other programs, chance."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.covariance import ledoit_wolf_shrinkage

from sclong_core.errors import ConfigError, InputError
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.genes import find_genes, gene_table
from sclong_tasks.grn.data import GrnData
from sclong_tasks.grn.models.edges import EdgeModel, cosines
from sclong_tasks.grn.names import GeneNames
from sclong_tasks.grn.reading import read_weights
from sclong_tasks.task import RunContext

Floats = npt.NDArray[np.float64]


class Random(EdgeModel):
    """Floor: numbers that have nothing to do with genes."""

    def infer(self, data: GrnData, context: RunContext) -> npt.NDArray[Any]:
        """By the seed."""
        shape = len(data.regulators), len(data.genes)
        return np.random.default_rng(context.seed).random(shape, dtype=np.float32)


@dataclass
class CorrelationOptions:
    """Which correlation."""

    kind: str = "pearson"
    """"pearson" or "spearman"."""

    def __post_init__(self) -> None:
        if self.kind not in ("pearson", "spearman"):
            raise ConfigError(f"model.kind must be pearson or spearman, not {self.kind!r}")


class Correlation(EdgeModel):
    """Correlation of expression, the same in both directions; 0 for genes that never vary."""

    Options: ClassVar[type] = CorrelationOptions

    def infer(self, data: GrnData, context: RunContext) -> npt.NDArray[Any]:
        """Cosines of what is left of the means."""
        del context
        values = data.cells.log1p
        if self.options.kind == "spearman":
            values = rankdata(values, axis=0).astype(np.float32)
        return cosines(_centred(values).T.astype(np.float32), data.regulators)


class PartialCorrelation(EdgeModel):
    """Correlation given all other genes, of a covariance that is shrunken (Ledoit and Wolf).

    With ``n`` cells the shrunken covariance is a multiple of the identity and a part of rank ``n``,
    so that its inverse needs a matrix of cells and not one of genes.
    """

    def infer(self, data: GrnData, context: RunContext) -> npt.NDArray[Any]:
        """Rows of the inverse for regulators, scaled."""
        del context
        values = _centred(data.cells.log1p)
        spread = np.sqrt((values**2).mean(0))
        varies = spread > 0
        values = values / np.where(varies, spread, 1)
        shrinkage = float(ledoit_wolf_shrinkage(values[:, varies], assume_centered=True))
        shrinkage = min(max(shrinkage, 1e-3), 1.0)
        self.facts["shrinkage"] = shrinkage
        precision, own = precision_rows(values, data.regulators, shrinkage)
        found = -precision / np.sqrt(own[data.regulators, None] * own)
        found[:, ~varies] = 0
        found[~varies[data.regulators]] = 0
        return found


def precision_rows(
    values: Floats, rows: npt.NDArray[np.int32], shrinkage: float
) -> tuple[Floats, Floats]:
    """Rows of the inverse of ``s I + (1 - s) X'X / n``, and its whole diagonal.

    Args:
        values: ``(cells, genes)``, centred.
        rows: of the inverse.
        shrinkage: ``s``, above 0.
    """
    cells = len(values)
    scaled = values * np.sqrt((1 - shrinkage) / cells)
    inner = shrinkage * np.eye(cells) + scaled @ scaled.T
    half = np.linalg.solve(inner, scaled)
    found = -(scaled[:, rows].T @ half) / shrinkage
    found[np.arange(len(rows)), rows] += 1 / shrinkage
    own = (1 - (scaled * half).sum(0)) / shrinkage
    return found, own


@dataclass
class GraphOptions:
    """Which graph."""

    path: str = ""
    """``graph.npz`` of sclong data graph build; the checkpoint's graph where empty."""
    vocabulary: str = ""
    """Vocabulary file that the graph was built for; needed with ``path``."""
    gene_tables: list[str] = field(default_factory=list)
    """Files of gene names (HGNC, GENCODE), for data with symbols of earlier days."""


class GoGraph(EdgeModel):
    """Jaccard index of two genes' terms where the gene graph joins them, else 0."""

    Options: ClassVar[type] = GraphOptions

    @classmethod
    def uses_checkpoint(cls, options: Any) -> bool:
        """Unless the graph is in a file."""
        return not options.path

    def infer(self, data: GrnData, context: RunContext) -> npt.NDArray[Any]:
        """Weights of the graph."""
        graph, vocabulary = self._graph(context)
        options: GraphOptions = self.options
        tables = tuple(map(Path, options.gene_tables))
        positions, coverage = find_genes(
            data.genes, vocabulary, gene_table(tables) if tables else None
        )
        self.facts["coverage"] = coverage.describe()
        place = np.full(graph.genes + 1, -1, dtype=np.int64)
        place[positions[positions >= 0]] = np.flatnonzero(positions >= 0)
        row = np.full(len(data.genes) + 1, -1, dtype=np.int64)
        row[data.regulators] = np.arange(len(data.regulators))
        found = np.zeros((len(data.regulators), len(data.genes)), dtype=np.float32)
        for source, target in (graph.edge_index, graph.edge_index[::-1]):
            here, there = row[place[source]], place[target]
            known = (here >= 0) & (there >= 0)
            found[here[known], there[known]] = graph.edge_weight[known]
        return found

    def _graph(self, context: RunContext) -> tuple[GeneGraph, GeneVocabulary]:
        options: GraphOptions = self.options
        if options.path:
            if not options.vocabulary:
                raise ConfigError("model.path of a graph needs model.vocabulary=FILE too")
            return GeneGraph.read(options.path), GeneVocabulary.read(options.vocabulary)
        if context.checkpoint is None:
            raise ConfigError(
                "the model graph needs an scLong checkpoint with a gene graph, or model.path and "
                "model.vocabulary"
            )
        model = ScLong.from_pretrained(context.checkpoint, device="cpu")
        if model.graph is None or model.vocabulary is None:
            raise ConfigError("the checkpoint has no gene graph")
        return model.graph, model.vocabulary


@dataclass
class EdgeListOptions:
    """Where the weights are."""

    path: str = ""
    """Table with ``Gene1``, ``Gene2`` and ``EdgeWeight``, separated by tabs or commas."""


class EdgeList(EdgeModel):
    """Weights of another program, as DeepSEM and BEELINE write them; 0 where it gives none."""

    Options: ClassVar[type] = EdgeListOptions

    def infer(self, data: GrnData, context: RunContext) -> npt.NDArray[Any]:
        """The weights of the file.

        Raises:
            InputError: none of its edges is asked for.
        """
        del context
        if not self.options.path:
            raise ConfigError("the model edge_list needs model.path=FILE")
        path = Path(self.options.path)
        table = read_weights(path)
        genes = data.genes
        names = GeneNames(genes)
        source, target = (names.places(table[name]) for name in ("Gene1", "Gene2"))
        row = np.full(len(genes) + 1, -1, dtype=np.int64)
        row[data.regulators] = np.arange(len(data.regulators))
        source = row[source]
        known = (source >= 0) & (target >= 0)
        if not known.any():
            raise InputError(
                f"{path} has no edge between genes of the data: its first are from "
                f"{shown(list(table['Gene1'].unique()))}"
            )
        self.facts["edges_used"], self.facts["edges_left_out"] = (
            int(known.sum()),
            int((~known).sum()),
        )
        found = np.zeros((len(data.regulators), len(genes)), dtype=np.float32)
        found[source[known], target[known]] = table["weight"].to_numpy()[known]
        return found


def _centred(values: npt.NDArray[np.float32]) -> Floats:
    """Without the means of genes; exactly 0 for genes that never vary."""
    wide = values.astype(np.float64)
    found: Floats = wide - wide.mean(0)
    found[:, np.ptp(values, axis=0) == 0] = 0
    return found
