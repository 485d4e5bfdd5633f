"""What tests of corpora share: made-up shards and corpora."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.index import CorpusIndex, write_corpus
from sclong_data.corpus.shards import ShardRecord, write_shard

VOCABULARY = GeneVocabulary.from_ids(synthetic_gene_ids(40))


def shard_parts(
    cells: int, *, seed: int = 0, genes: int = 40
) -> tuple[sparse.csr_array, pd.DataFrame, npt.NDArray[np.uint64]]:
    """Expression, annotation and digests of made-up cells; every cell expresses something."""
    random = np.random.default_rng(seed)
    dense = random.random((cells, genes)) * 10 * (random.random((cells, genes)) < 0.3)
    dense[:, seed % genes] = 10
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(random.choice(["B cell", "T cell"], cells, p=[0.2, 0.8])),
            "donor_id": random.choice(["d0", "d1", "d2"], cells),
        },
        index=[f"{seed}-{number}" for number in range(cells)],
    )
    digests = random.integers(0, 1 << 63, (cells, 2)).astype(np.uint64) * np.uint64(2)
    return sparse.csr_array(dense.astype(np.float32)), obs, digests


def write_shards(folder: Path, cells: Mapping[str, int], *, genes: int = 40) -> list[ShardRecord]:
    """Made-up shards of a vocabulary of as many genes.

    Args:
        folder: of the corpus.
        cells: number of cells of each shard by its name.
        genes: number of genes.
    """
    return [
        write_shard(folder, name, *shard_parts(count, seed=number, genes=genes))
        for number, (name, count) in enumerate(cells.items())
    ]


def write_made_up_corpus(
    folder: Path, cells: Mapping[str, int] | None = None, *, duplicates: int = 3, genes: int = 40
) -> CorpusIndex:
    """A corpus of made-up cells, in each shard of which the first few are duplicates.

    Args:
        folder: of the corpus.
        cells: number of cells of each shard by its name.
        duplicates: cells of each shard that do not belong to the corpus.
        genes: number of genes.
    """
    shards = write_shards(folder, cells or {"a.0": 40, "a.1": 23, "b.0": 50}, genes=genes)
    return write_corpus(
        folder,
        vocabulary=GeneVocabulary.from_ids(synthetic_gene_ids(genes)),
        rules={"maximum": 10.0},
        shards=shards,
        kept={record.name: np.arange(record.cells) >= duplicates for record in shards},
        datasets=[{"dataset": name} for name in sorted({record.dataset for record in shards})],
    )
