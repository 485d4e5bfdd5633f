"""Cells of a corpus as reference methods need them: expression, source, and what was measured.

Shapes: n cells, g genes, s sources.
"""

from dataclasses import dataclass
from os import PathLike

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.corpus import CellCorpus

_TEMPER = 0.5


@dataclass(frozen=True, eq=False)
class CorpusCells:
    """All cells of a corpus in memory."""

    expression: sparse.csr_array
    """``(cells, genes)`` log1p."""
    source_n: npt.NDArray[np.int64]
    """Number of the data set of each cell."""
    measured_sg: npt.NDArray[np.bool_]
    """Genes that each data set measures: those that any of its cells expresses."""
    vocabulary: GeneVocabulary
    digest: str
    """Of the corpus."""

    def weights(self) -> npt.NDArray[np.float64]:
        """Weight of each cell, 1 in all: a source of n cells weighs as much as the root of n."""
        sizes = np.bincount(self.source_n).astype(np.float64)
        weights = sizes[self.source_n] ** (_TEMPER - 1)
        return np.asarray(weights / weights.sum())


def read_corpus_cells(folder: str | PathLike[str]) -> CorpusCells:
    """Read a corpus into memory.

    Raises:
        InputError: there is no corpus, or a file of it is damaged.
    """
    corpus = CellCorpus(folder)
    expression = corpus.read(np.arange(len(corpus)))
    names = corpus.datasets()
    kinds, source = np.unique(np.asarray(names.codes, dtype=np.int64), return_inverse=True)
    measured = np.zeros((len(kinds), len(corpus.vocabulary)), dtype=bool)
    for number in range(len(kinds)):
        measured[number, np.unique(expression[np.flatnonzero(source == number)].indices)] = True
    return CorpusCells(
        expression, source.astype(np.int64), measured, corpus.vocabulary, corpus.digest
    )
