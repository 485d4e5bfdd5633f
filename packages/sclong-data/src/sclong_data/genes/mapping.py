"""Which columns of a data set are which genes of a vocabulary, by any name that genes go by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression import GeneMatch
from sclong_core.expression.genes import INDEX, gene_names_in, likely_reason
from sclong_core.vocabulary import GeneVocabulary, plain_id
from sclong_data.genes.table import GeneTable, How

MappedHow = How | Literal["outside"]
"""How a column was mapped; "outside" is a known gene that the vocabulary lacks."""
_LOST: tuple[MappedHow, ...] = ("ambiguous", "unknown", "outside")
_IDS: tuple[MappedHow, ...] = ("id", "retired")
_NEARLY = 0.95
_SHOWN = 5


@dataclass(frozen=True)
class GeneMapping:
    """Genes of a data set found in a vocabulary, and what became of the others."""

    match: GeneMatch
    counts: dict[MappedHow, int]
    """Columns by how their names were understood; they add up to all columns."""
    ambiguous: tuple[str, ...]
    """Names that stand for several genes, in the order of the data."""
    lost: tuple[str, ...]
    """Names that are unknown, or of genes that the vocabulary lacks, in the order of the data."""
    summed: int
    """Columns to be added to another one of the same gene."""


def map_genes(
    var: pd.DataFrame,
    vocabulary: GeneVocabulary,
    table: GeneTable | None,
    *,
    gene_column: str | None = None,
) -> GeneMapping:
    """Find the genes of a vocabulary among those of a data set.

    A name that is an id of the vocabulary is that gene. Any other means what the table says, and is
    the gene of the vocabulary that the table knows by the same id: so a vocabulary with retired ids
    is found by current names. Names that the table does not know are looked up among the
    vocabulary's symbols. An ambiguous name is not mapped.

    What a name is mapped to depends on that name, vocabulary and table alone. Of several columns
    of ``var`` that name genes, the one that finds most is taken; one that finds nearly as many,
    more of them by id, is preferred.

    Args:
        var: annotation of the data's genes. Several columns of one gene are allowed.
        vocabulary: genes of the corpus.
        table: names of genes; without it ids, with and without version, and the vocabulary's own
            symbols are known.
        gene_column: the column of ``var`` to take, or "var_names" for its index.

    Raises:
        InputError: no such column, or no gene in common.
    """
    lookup = _Lookup(vocabulary, table)
    found = [
        _Found(place, names, *lookup.find(names))
        for place, names in gene_names_in(var, gene_column)
    ]
    most = max(candidate.genes for candidate in found)
    near = [candidate for candidate in found if candidate.genes >= _NEARLY * most]
    best = min(near, key=_Found.rank)
    columns = np.flatnonzero(best.positions >= 0)
    if not columns.size:
        shown = ", ".join(best.names[:_SHOWN])
        reason = likely_reason(best.names, vocabulary) or f"the first are {shown}"
        raise InputError(
            f"none of the {len(best.names):,} genes in {best.place} is a gene of the vocabulary: "
            f"{reason}"
        )
    return _mapping(best, columns, var, len(vocabulary))


def gene_positions(
    names: Sequence[str], vocabulary: GeneVocabulary, table: GeneTable | None
) -> tuple[npt.NDArray[np.int64], list[MappedHow]]:
    """The position in the vocabulary of each name, -1 where it has none, and how it was understood.

    The rules are those of :func:`map_genes`.
    """
    return _Lookup(vocabulary, table).find(names)


@dataclass(frozen=True)
class _Found:
    """What the names of one column of ``var`` are."""

    place: str
    names: list[str]
    positions: npt.NDArray[np.int64]
    how: list[MappedHow]

    @property
    def genes(self) -> int:
        """Number of genes of the vocabulary that are named."""
        return int(np.unique(self.positions[self.positions >= 0]).size)

    def rank(self) -> tuple[int, int, bool, str]:
        """First of all comes the column with most ids, then with most genes, then the index."""
        by_id = sum(self.how.count(how) for how in _IDS)
        return -by_id, -self.genes, self.place != INDEX, self.place


class _Lookup:
    """Positions of a vocabulary by name."""

    def __init__(self, vocabulary: GeneVocabulary, table: GeneTable | None) -> None:
        self._vocabulary = vocabulary
        self._table = table
        self._by_id = {gene: position for position, gene in enumerate(vocabulary.ids)}
        self._by_current: dict[str, int] = {}
        if table is not None:
            for position, gene in enumerate(table.resolve(vocabulary.ids).ids):
                if gene is not None and gene not in self._by_id:
                    # Two genes of the vocabulary that became one: neither is it.
                    known = gene in self._by_current
                    self._by_current[gene] = -1 if known else position

    def find(self, names: Sequence[str]) -> tuple[npt.NDArray[np.int64], list[MappedHow]]:
        """The position of each name, -1 where it has none, and how it was understood."""
        resolution = self._table.resolve(names) if self._table is not None else None
        symbols = self._vocabulary.lookup(names)
        positions = np.full(len(names), -1, dtype=np.int64)
        how: list[MappedHow] = ["unknown"] * len(names)
        for column, name in enumerate(names):
            if (plain := plain_id(name)) in self._by_id:
                positions[column], how[column] = self._by_id[plain], "id"
            elif resolution is None or resolution.how[column] == "unknown":
                if symbols[column] >= 0:
                    positions[column], how[column] = symbols[column], "symbol"
            elif (gene := resolution.ids[column]) is None:
                how[column] = "ambiguous"
            else:
                at = self._by_id.get(gene, self._by_current.get(gene, -1))
                positions[column] = at
                how[column] = resolution.how[column] if at >= 0 else "outside"
        return positions, how


def _mapping(
    found: _Found, columns: npt.NDArray[np.int64], var: pd.DataFrame, genes: int
) -> GeneMapping:
    shown = tuple(name or str(index) for name, index in zip(found.names, var.index, strict=True))
    positions = found.positions[columns]
    counts = Counter(found.how)
    by_id = sum(counts[how] for how in _IDS)
    match = GeneMatch(
        columns=columns,
        positions=positions,
        names=shown,
        unknown=tuple(shown[column] for column in np.flatnonzero(found.positions < 0)),
        found_in=found.place,
        kind="id" if by_id == columns.size else "mixed" if by_id else "symbol",
        vocabulary_genes=genes,
    )
    named = list(zip(shown, found.how, strict=True))
    return GeneMapping(
        match=match,
        counts=dict(counts),
        ambiguous=tuple(name for name, how in named if how == "ambiguous"),
        lost=tuple(name for name, how in named if how in _LOST and how != "ambiguous"),
        summed=int(columns.size - match.matched),
    )
