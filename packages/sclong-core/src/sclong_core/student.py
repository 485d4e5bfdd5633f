"""A student: a model that has learnt the vectors of cells from another one, its teacher.

It is an :class:`~sclong_core.model.ScLong` to everything that wants vectors of cells: the same
checkpoint folder, the same ways to read, embed, resume and record. It has no encoders, so whatever
needs representations of genes is refused.
"""

from typing import NoReturn, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sclong_core.config import ScLongConfig
from sclong_core.context import CellVectors
from sclong_core.errors import ConfigError
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong, ScLongOutput
from sclong_core.nn.performer import Performer
from sclong_core.nn.readout import Readout
from sclong_core.nn.student import SparseCells, StudentNetwork
from sclong_core.vocabulary import GeneVocabulary


class Student(ScLong):
    """Vectors of cells from sums over their expressed genes.

    Args:
        config: with ``config.student``; its other sizes are the teacher's.
        vocabulary: the teacher's; needed to embed cells and to save.
        graph: none.

    Raises:
        ConfigError: these do not fit ``config``.
    """

    def __init__(
        self,
        config: ScLongConfig,
        vocabulary: GeneVocabulary | None = None,
        graph: GeneGraph | None = None,
        gene_vectors: npt.NDArray[np.float32] | None = None,
    ) -> None:
        nn.Module.__init__(self)
        if config.student is None:
            raise ConfigError("a student needs its sizes: set config.student")
        if graph is not None or gene_vectors is not None:
            raise ConfigError("a student has neither a gene graph nor gene vectors of its own")
        if vocabulary is not None and len(vocabulary) != config.genes:
            raise ConfigError(f"vocabulary has {len(vocabulary)} genes, the model {config.genes}")
        self.config, self.vocabulary, self.graph = config, vocabulary, None
        self.network = StudentNetwork(config.genes, config.student)

    def cell_vectors(
        self,
        expression: Tensor,
        measured: Tensor | None = None,
        *,
        gene_embedding: Tensor | None = None,  # noqa: ARG002  # of models with encoders
    ) -> CellVectors:
        """The vectors of cells.

        Args:
            expression: ``(cells, genes)`` values as ``config.input`` says.
            measured: boolean ``(cells, genes)`` or ``(genes,)``: genes that the data has; all by
                default. What is not measured is unknown, and not zero.
            gene_embedding: not used.
        """
        if measured is None:
            measured = torch.ones(self.config.genes, dtype=torch.bool, device=self.device)
        shown = expression.float().masked_fill(~measured, 0)
        expected = self.network.expected(measured.reshape(-1, self.config.genes))
        cells = SparseCells.of(shown)
        found = self.network.decode(self.network(cells, expected.expand(len(shown), -1)))
        return CellVectors(found, found[:, :0], found)

    def forward(self, *_args: object, **_named: object) -> ScLongOutput:
        """Refused: there are no representations of genes."""
        self._refuse("representations or reconstructions of genes")

    def gene_embedding(self) -> Tensor:
        """Refused: it has no vectors of genes."""
        self._refuse("vectors of genes")

    def encoders(self) -> dict[str, Performer]:
        """Refused: there are none."""
        self._refuse("encoders, nor their attention")

    def require_readout(self) -> Readout:
        """Refused: nothing predicts genes from its vectors."""
        self._refuse("readout: its one pool is cell")

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.network.by_value.device

    @property
    def dtype(self) -> torch.dtype:
        """float32: a student is small, and has no large products."""
        return torch.float32

    def set_dtype(self, dtype: torch.dtype) -> Self:
        """Keep float32.

        Raises:
            ConfigError: another type.
        """
        if dtype != torch.float32:
            raise ConfigError(f"a student computes in float32, not {dtype}: leave --dtype out")
        return self

    def _refuse(self, what: str) -> NoReturn:
        raise ConfigError(
            f"this model is a student, which has vectors of cells alone and no {what}: use its "
            "teacher"
        )
