"""Genes of data in the vocabulary of an encoder, by any name that they go by."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.mapping import map_genes
from sclong_data.genes.table import GeneTable
from sclong_tasks.encoders.protocol import Coverage


def find_genes(
    names: Sequence[str], vocabulary: GeneVocabulary, table: GeneTable | None = None
) -> tuple[npt.NDArray[np.int64], Coverage]:
    """Positions of genes in a vocabulary, -1 where it does not hold them, and the coverage.

    Args:
        names: Ensembl ids or symbols.
        vocabulary: of the encoder.
        table: of earlier symbols, aliases and retired ids; without it, ids and the vocabulary's
            own symbols are understood.

    Raises:
        InputError: it holds none of them.
    """
    mapping = map_genes(pd.DataFrame(index=list(names)), vocabulary, table)
    positions = np.full(len(names), -1, dtype=np.int64)
    positions[mapping.match.columns] = mapping.match.positions
    unknown = tuple(names[int(place)] for place in np.flatnonzero(positions < 0))
    return positions, Coverage("genes", len(names) - len(unknown), unknown)


@lru_cache(maxsize=4)
def gene_table(paths: tuple[Path, ...]) -> GeneTable:
    """The table in these files, read once in a process."""
    return GeneTable.read(*paths)


def renamed_by(table: GeneTable, *, symbols: bool) -> Callable[[Sequence[str]], Sequence[str]]:
    """Turns any names of genes into current symbols, or into ids; leaves others as they are.

    Args:
        table: of names.
        symbols: symbols are wanted, not ids.
    """

    def rename(names: Sequence[str]) -> Sequence[str]:
        ids = table.resolve(names).ids
        if symbols:
            ids = tuple(None if gene is None else table.genes[gene].symbol for gene in ids)
        return [found or name for found, name in zip(ids, names, strict=True)]

    return rename
