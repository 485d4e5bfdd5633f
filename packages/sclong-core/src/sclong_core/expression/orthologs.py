"""Cells of the mouse for a model of human genes, by one-to-one orthologs.

The table is Ensembl's, see ``mouse_genes.md``; :mod:`sclong_data.genes.ortholog_table` builds it.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.genes import gene_names_in
from sclong_core.expression.species import other_organisms, species_of_genes
from sclong_core.human_genes import packed_table
from sclong_core.vocabulary import plain_id

_LOG = logging.getLogger("sclong")
FILE = "mouse_genes.tsv.xz"
HEADER = "mouse_id\tmouse_symbol\thuman_id"
MOUSE: Final = "mouse"
Organism = Literal["human", "mouse"]
_FEW = 0.1
"""Share of genes: so many must have an ortholog, and no more may be of another species."""


@dataclass(frozen=True)
class Orthologs:
    """The human gene of each mouse gene that has exactly one, and is its only ortholog."""

    by_id: dict[str, str]
    by_symbol: dict[str, str]
    digest: str
    """SHA-256 of the table."""

    def human(self, name: str) -> str:
        """The human Ensembl id for a mouse id, with or without version, or a symbol; else ""."""
        return self.by_id.get(plain_id(name), "") or self.by_symbol.get(name, "")


@cache
def mouse_orthologs() -> Orthologs:
    """The table that this package ships."""
    packed, rows = packed_table(FILE, HEADER)
    often = Counter(symbol for _, symbol, _ in rows)
    return Orthologs(
        {gene: human for gene, _, human in rows},
        {symbol: human for _, symbol, human in rows if symbol and often[symbol] == 1},
        hashlib.sha256(packed).hexdigest(),
    )


def as_human(source: CellSource, gene_column: str | None = None) -> CellSource:
    """Name the genes of mouse cells by their one-to-one human orthologs.

    Genes without one keep their name, marked as a mouse gene so that nothing takes it for human.

    Args:
        source: mouse cells.
        gene_column: column of ``var`` that names the genes; the one with most orthologs by default.

    Raises:
        InputError: the cells are not those of a mouse.
    """
    _require_mouse(source)
    table = mouse_orthologs()
    places = [
        (place, names, [table.human(name) if name else "" for name in names])
        for place, names in gene_names_in(source.var, gene_column)
    ]
    place, names, found = max(places, key=lambda one: _count(one[2]))  # the first among equals
    if _count(found) < _FEW * len(names):
        raise InputError(
            f"{source.name}: only {_count(found):,} of {len(names):,} genes in {place} are mouse "
            "genes with one human ortholog. Check --gene-column, or leave out --organism mouse"
        )
    _LOG.info(
        "%s: %s of %s mouse genes, named in %s, have one human ortholog and are taken as it; the "
        "others are left out",
        source.name, f"{_count(found):,}", f"{len(names):,}", place,
    )  # fmt: skip
    named = [
        human or f"{name or label} ({MOUSE})"
        for human, name, label in zip(found, names, source.var.index, strict=True)
    ]
    return replace(source, var=pd.DataFrame(index=pd.Index(named)))


def _require_mouse(source: CellSource) -> None:
    reason = other_organisms(source.obs, source.organism, MOUSE)
    genes = species_of_genes(source.var, MOUSE)
    if reason is None and genes.foreign.mean() > _FEW:
        reason = f"{int(genes.foreign.sum()):,} of its genes are those of {genes.others}"
    if reason is not None:
        raise InputError(f"{source.name} is not mouse data, as --organism mouse says: {reason}")


def _count(found: Sequence[str]) -> int:
    return sum(map(bool, found))
