"""What tests of tasks and of judging share: made-up cells of known types."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.corpus_cells import CorpusCells


def typed_counts(
    cells: int, genes: int, *, types: int = 3, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.str_]]:
    """Counts of cells whose types express programmes of their own, and the types.

    The programmes depend on the numbers of genes and types alone: other seeds give other cells of
    the same types.
    """
    programmes = np.random.default_rng(genes).gamma(0.5, size=(types, genes)) * 3 + 0.05
    draw = np.random.default_rng(seed)
    kinds = draw.integers(types, size=cells)
    depth = draw.uniform(0.5, 2.0, size=(cells, 1))
    counts = draw.poisson(programmes[kinds] * depth).astype(np.float32)
    counts[:, 0] += 1
    return counts, np.array([f"type{kind}" for kind in kinds])


def made_up_corpus_cells(cells: int = 240, genes: int = 60, *, seed: int = 0) -> CorpusCells:
    """Cells of three types in three sources of unlike size; the last measures no odd genes."""
    counts, _ = typed_counts(cells, genes, seed=seed)
    source = np.minimum(np.arange(cells) * 7 // cells, 2)
    measured = np.ones((3, genes), dtype=bool)
    measured[2, 1::2] = False
    counts *= measured[source]
    logged = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    return CorpusCells(
        sparse.csr_array(logged.astype(np.float32)),
        source.astype(np.int64),
        measured,
        GeneVocabulary.from_ids(synthetic_gene_ids(genes)),
        "0" * 64,
    )
