"""Genes of data in the vocabulary of an encoder, by any name that they go by."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.human_genes import human_genes
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


def by_other_symbols(
    names: Sequence[str], knows: Callable[[Sequence[str]], npt.NDArray[np.bool_]]
) -> dict[int, str]:
    """Symbols that a model knows for human genes that the data names by another one.

    A symbol that the model knows is never looked up, a gene that a column of the data stands for
    is not given to another, and what stands for several genes is not guessed.

    Args:
        names: of the genes of the data.
        knows: which of some names the model knows.

    Returns:
        The model's symbol by place in ``names``.
    """
    unknown = np.flatnonzero(~knows(names)).tolist()
    asked = [place for place in unknown if names[place] and not _IDS.match(names[place])]
    if not asked:
        return {}
    table, places = human_genes(), dict[str, list[int]]()
    for place in asked:
        gene = table.by_symbol(names[place]) or table.by_other_name(names[place])
        if gene is not None:
            places.setdefault(gene, []).append(place)
    proposed = {gene: table.names_of(gene) for gene, rows in places.items() if len(rows) == 1}
    every = list(dict.fromkeys(name for known in proposed.values() for name in known))
    known = {name for name, there in zip(every, knows(every), strict=True) if there}
    taken = set(names)
    found = {}
    for gene, choices in proposed.items():
        if taken.isdisjoint(choice for choice in choices if choice in known):
            symbol = next((choice for choice in choices if choice in known), None)
            if symbol is not None:
                found[places[gene][0]] = symbol
    return found


_IDS = re.compile(r"ENS[A-Z]*G\d")
"""Ensembl ids are not symbols."""
