"""Gene vectors that are the same in every cell: Gene2vec alone, the graph embedding alone.

A cell is the mean of its genes' vectors, weighted by expression.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from sclong_core.errors import ConfigError, InputError
from sclong_core.model import ScLong
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.table import GeneTable
from sclong_tasks.cache import digest_arrays
from sclong_tasks.encoders.genes import find_genes
from sclong_tasks.encoders.protocol import ExpressionTable, Representation

Part = Literal["gene2vec", "graph", "both"]


@dataclass(frozen=True, eq=False)
class GeneVectors:
    """An encoder of fixed gene vectors.

    Args:
        vectors: ``(genes, dim)``.
        vocabulary: the genes.
        name: of the encoder.
        table: of other names of genes.
    """

    vectors: npt.NDArray[np.float32]
    vocabulary: GeneVocabulary
    name: str
    table: GeneTable | None = None

    def __post_init__(self) -> None:
        """Refuse vectors that do not fit or are not finite."""
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.vocabulary):
            raise InputError(
                f"{self.name}: {len(self.vocabulary)} genes but vectors {self.vectors.shape}"
            )
        if not np.isfinite(self.vectors).all():
            raise InputError(f"{self.name}: a gene vector holds NaN or an infinite value")

    def cells(self, expression: ExpressionTable) -> Representation:
        """``(cells, dim)``: mean over known genes, weighted by log1p expression.

        Raises:
            InputError: a cell expresses none of the known genes.
        """
        positions, coverage = find_genes(expression.genes, self.vocabulary, self.table)
        known = positions >= 0
        weights = expression.log1p[:, known].astype(np.float64)
        total = weights.sum(1, keepdims=True)
        empty = np.flatnonzero(total[:, 0] == 0)
        if len(empty):
            raise InputError(
                f"{len(empty)} cells express none of the genes that {self.name} knows: "
                f"{expression.cells[empty[0]]!r} is the first"
            )
        values = (weights / total) @ self.vectors[positions[known]].astype(np.float64)
        return Representation(
            values.astype(np.float32), expression.cells, coverage, self._provenance()
        )

    def genes(self, names: Sequence[str]) -> Representation:
        """``(genes, dim)``; unknown genes get the mean of all vectors."""
        positions, coverage = find_genes(names, self.vocabulary, self.table)
        extended = np.concatenate([self.vectors, self.vectors.mean(0, keepdims=True)])
        return Representation(extended[positions], tuple(names), coverage, self._provenance())

    def _provenance(self) -> dict[str, str]:
        return {"encoder": self.name, "vectors": digest_arrays(self.vectors)}


def vectors_of_model(model: ScLong, part: Part, *, table: GeneTable | None = None) -> GeneVectors:
    """Gene vectors inside an scLong model: its Gene2vec table, its graph convolution, or their sum.

    Raises:
        ConfigError: the model has no vocabulary, or no gene graph for "graph".
    """
    if model.vocabulary is None:
        raise ConfigError("a model without a vocabulary has no named gene vectors")
    if part == "graph" and not model.genes.uses_graph:
        raise ConfigError("the checkpoint has no gene graph: there is no graph embedding in it")
    with torch.inference_mode():
        both = model.gene_embedding()
        own = model.genes.vectors.float()
        chosen = {"gene2vec": own, "graph": both - own, "both": both}[part]
    return GeneVectors(chosen[:-1].detach().cpu().numpy(), model.vocabulary, part, table)
