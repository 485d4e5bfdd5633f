"""Symbols for the ids of a vocabulary that has none."""

from collections import Counter
from dataclasses import dataclass

from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.table import GeneTable


@dataclass(frozen=True)
class NamedVocabulary:
    """A vocabulary with symbols, and what the table knows of its ids."""

    vocabulary: GeneVocabulary
    symbols: int
    """Genes with a symbol."""
    retired: int
    """Ids that are retired; they keep their place and get their successor's symbol."""
    unknown: int
    """Ids that the table does not know."""


def with_symbols(vocabulary: GeneVocabulary, table: GeneTable) -> NamedVocabulary:
    """Add the table's symbols to a vocabulary; ids and their order, and so its digest, stay.

    Symbols that are there stay. A symbol that several genes would have is given to none of those
    that had none.

    Args:
        vocabulary: genes in order.
        table: names of genes.
    """
    resolution = table.resolve(vocabulary.ids)
    known = [table.genes.get(gene) if gene is not None else None for gene in resolution.ids]
    proposed = [
        own or (gene.symbol if gene is not None else "")
        for own, gene in zip(vocabulary.symbols, known, strict=True)
    ]
    often = Counter(proposed)
    symbols = [
        own or (symbol if often[symbol] == 1 else "")
        for own, symbol in zip(vocabulary.symbols, proposed, strict=True)
    ]
    how = Counter(resolution.how)
    return NamedVocabulary(
        vocabulary=GeneVocabulary.from_ids(vocabulary.ids, symbols),
        symbols=sum(map(bool, symbols)),
        retired=how["retired"],
        unknown=how["unknown"] + how["ambiguous"],
    )
