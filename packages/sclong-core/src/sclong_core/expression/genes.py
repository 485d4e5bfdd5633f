"""Which columns of the data are which genes of a vocabulary."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression.names import clean_name, genome_prefix, is_text
from sclong_core.expression.species import HUMAN, species_of_vocabulary
from sclong_core.human_genes import human_genes
from sclong_core.vocabulary import GeneVocabulary, is_copy_on_y, plain_id

_SAMPLE = 2_000
_HUMAN_ID = re.compile(r"ENSG\d{5,}(\.\d+)?")
_MAP_MOUSE = "map them to human orthologs first (`sclong embed --organism mouse` does)"
_PATTERNS = (
    (
        r"ENSMUSG\d+(\.\d+)?",
        f"they are mouse Ensembl ids and the model is human: {_MAP_MOUSE}",
    ),
    (
        r"ENS(?!G\d)[A-Z]*G\d+(\.\d+)?",
        "they are Ensembl ids of another species: map them to human orthologs first",
    ),
    (
        r"ENS[A-Z]*[TP]\d+(\.\d+)?",
        "they are Ensembl transcripts or proteins: sum them by gene and name them by gene id",
    ),
    (
        r"\d+",
        (
            "they are numbers: if they are NCBI (Entrez) ids, add a column of Ensembl ids; "
            "otherwise the names were lost"
        ),
    ),
    (
        r"(chr)?[0-9XYMT]{1,2}[:_-]\d+[-_]\d+",
        "they are regions of the genome (ATAC peaks), not genes: use gene expression",
    ),
    (r".+_at", "they are probes of a microarray: map them to genes first"),
    (
        r"[A-Z][a-z0-9]*[a-z][a-zA-Z0-9.-]*|[0-9]+[A-Za-z0-9]+Rik",
        f"they look like mouse symbols and the model is human: {_MAP_MOUSE}",
    ),
)
_SYMBOL = re.compile(r"[A-Z][A-Z0-9orf.-]*")


def likely_reason(names: Sequence[str], vocabulary: GeneVocabulary) -> str | None:
    """The likely reason, with what to do, why most of ``names`` are unknown; None if no idea.

    Args:
        names: genes of the data that were not found.
        vocabulary: genes of the model.
    """
    sample = [name for name in names[:_SAMPLE] if name]
    if not sample:
        return "they have no names: choose another gene column"
    for pattern, reason in _PATTERNS:
        if _most(re.compile(pattern), sample):
            return reason
    if _most(_HUMAN_ID, sample) and not any(map(_HUMAN_ID.fullmatch, vocabulary.ids[:_SAMPLE])):
        return "they are Ensembl ids, and the model's genes are not: choose a column of symbols"
    if _most(_SYMBOL, sample) and not any(vocabulary.symbols) and not _most(_HUMAN_ID, sample):
        return (
            "they look like symbols, and this checkpoint only knows ids: choose a "
            "column of Ensembl ids, or add symbols to the checkpoint with `sclong "
            "convert --symbols`"
        )
    return None


def _most(pattern: re.Pattern[str], names: Sequence[str]) -> bool:
    """Whether more than half of the names have a form."""
    return sum(pattern.fullmatch(name) is not None for name in names) > len(names) / 2


_LOG = logging.getLogger("sclong")
INDEX = "var_names"
"""Stands for the index of ``var`` where one of its columns is named."""
Duplicates = Literal["error", "sum"]
_FEW = 0.1
_SHOWN = 5


@dataclass(frozen=True)
class GeneMatch:
    """Genes of the data found in a vocabulary.

    ``columns`` and ``positions`` run side by side, in the order of the data. A position occurs
    twice only where counts of the same gene are to be summed.
    """

    columns: npt.NDArray[np.int64]
    """Columns of the data that are genes of the vocabulary."""
    positions: npt.NDArray[np.int64]
    """Their positions in the vocabulary."""
    names: tuple[str, ...]
    """Every gene of the data, by the name it was looked up with, or its index where that lacks."""
    unknown: tuple[str, ...]
    """Those that the vocabulary does not hold."""
    found_in: str
    """The column of ``var`` that holds the names, or "var_names"."""
    kind: Literal["id", "symbol", "mixed"]
    """Whether they were found by id, by symbol, or some by each."""
    vocabulary_genes: int
    """Number of genes of the vocabulary."""
    by_other_name: tuple[str, ...] = ()
    """Those found by an earlier symbol or an alias."""

    @cached_property
    def matched(self) -> int:
        """Number of genes of the vocabulary that the data holds."""
        return int(np.unique(self.positions).size)

    @property
    def coverage(self) -> float:
        """Their share of the vocabulary, 0 to 1."""
        return self.matched / self.vocabulary_genes

    @property
    def repeated(self) -> bool:
        """Whether several columns stand for one gene."""
        return self.matched < self.positions.size


def match_genes(
    var: pd.DataFrame,
    vocabulary: GeneVocabulary,
    *,
    gene_column: str | None = None,
    duplicates: Duplicates = "error",
) -> GeneMatch:
    """Find the genes of a vocabulary among those of the data.

    The names of the genes and every text column of ``var`` are tried; the one with most genes of
    the vocabulary is taken, the names first among equals. Ensembl ids match with and without
    version; the copy of a gene on chromosome Y (``_PAR_Y``) is that gene, and its counts are added.
    For vocabularies of human Ensembl ids, symbols are those of the vocabulary and of HGNC; a name
    that is neither is found as the earlier symbol or alias of one gene, unless that gene is in the
    data by another name, or several names stand for it.

    Args:
        var: annotation of the data's genes.
        vocabulary: genes of the model.
        gene_column: the column of ``var`` to take, or "var_names" for its index.
        duplicates: "error" refuses several columns for one gene; "sum" lets them pass, for their
            counts to be added.

    Raises:
        InputError: no such column, no gene in common, or several columns for one gene.
    """
    lookup = _Lookup(vocabulary)
    found_in, names, looked_up = lookup.best(gene_names_in(var, gene_column))
    renamed = lookup.add_other_names(names, looked_up)
    columns = np.flatnonzero(looked_up >= 0)
    shown = tuple(name or str(index) for name, index in zip(names, var.index, strict=True))
    match = GeneMatch(
        columns=columns,
        positions=looked_up[columns],
        names=shown,
        unknown=tuple(shown[column] for column in np.flatnonzero(looked_up < 0)),
        found_in=found_in,
        kind=_kind([names[column] for column in columns], vocabulary),
        vocabulary_genes=len(vocabulary),
        by_other_name=renamed,
    )
    if not columns.size:
        reason = likely_reason(names, vocabulary) or f"the first are {_some(names)}"
        raise InputError(
            f"none of the {len(names):,} genes in {found_in} is a gene of the model: {reason}"
        )
    if match.repeated and duplicates == "error":
        _refuse_repeated(match, vocabulary, [is_copy_on_y(names[column]) for column in columns])
    _announce(match, vocabulary)
    return match


def gene_names_in(var: pd.DataFrame, gene_column: str | None = None) -> list[tuple[str, list[str]]]:
    """Each place that may name the genes, with the names that it holds; empty where one lacks.

    Byte order marks, spaces and quotes around a name, and the genome that it begins with
    (``GRCh38_``), are not part of it.

    Args:
        var: annotation of the data's genes.
        gene_column: the only column to look at, or "var_names" for the index.

    Raises:
        InputError: no such column.
    """
    columns = [var.iloc[:, number] for number in range(var.shape[1])]
    held = [
        (INDEX, var.index),
        *((str(column.name), column) for column in columns if is_text(column)),
    ]
    wanted = [(name, values) for name, values in held if gene_column in (None, name)]
    if not wanted:
        listed = ", ".join(name for name, _ in held)
        raise InputError(f"the data has no gene column {gene_column!r}: choose one of {listed}")
    return [
        (name, [genome_prefix(clean_name(value))[1] for value in values]) for name, values in wanted
    ]


class _Lookup:
    """Positions of names in a vocabulary: its own names, then those of HGNC if it is human."""

    def __init__(self, vocabulary: GeneVocabulary) -> None:
        self._vocabulary = vocabulary
        self._human = species_of_vocabulary(vocabulary.ids) == HUMAN

    def best(
        self, candidates: list[tuple[str, list[str]]]
    ) -> tuple[str, list[str], npt.NDArray[np.int64]]:
        """The candidate that holds most genes of the vocabulary; the first among equals."""
        found = [(place, names, self._find(names)) for place, names in candidates]
        return max(found, key=lambda candidate: np.unique(candidate[2][candidate[2] >= 0]).size)

    def _find(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Positions by id and by symbol; the vocabulary's own name of a gene comes first."""
        found = self._vocabulary.lookup(names)
        if self._human:
            own = set(found.tolist())
            for row in np.flatnonzero(found < 0).tolist():
                gene = None
                if names[row] and not self._vocabulary.holds_symbol(names[row]):
                    gene = human_genes().by_symbol(names[row])
                position = -1 if gene is None else int(self._vocabulary.lookup([gene])[0])
                if position not in own:
                    found[row] = position
        return found

    def add_other_names(
        self, names: Sequence[str], found: npt.NDArray[np.int64]
    ) -> tuple[str, ...]:
        """Fill in genes that an earlier symbol or alias names, and only that; returns the names."""
        if not self._human:
            return ()
        proposed: dict[int, list[int]] = {}
        for row in np.flatnonzero(found < 0).tolist():
            gene = human_genes().by_other_name(names[row]) if names[row] else None
            if gene is not None and not self._vocabulary.holds_symbol(names[row]):
                position = int(self._vocabulary.lookup([gene])[0])
                proposed.setdefault(position, []).append(row)
        taken = {-1, *found.tolist()}
        rows = [
            of_gene[0]
            for position, of_gene in proposed.items()
            if position not in taken and len(of_gene) == 1
        ]
        for row in rows:
            gene = human_genes().by_other_name(names[row])
            found[row] = self._vocabulary.lookup([str(gene)])[0]
        return tuple(names[row] for row in rows)


def _kind(names: Sequence[str], vocabulary: GeneVocabulary) -> Literal["id", "symbol", "mixed"]:
    """What matched names are: ids, symbols, or some of each."""
    ids = set(vocabulary.ids)
    by_id = sum(name in ids or plain_id(name) in ids for name in names)
    if by_id == len(names):
        return "id"
    return "mixed" if by_id else "symbol"


def _refuse_repeated(match: GeneMatch, vocabulary: GeneVocabulary, copies: Sequence[bool]) -> None:
    """Refuse the first gene that several columns stand for, copies on Y aside, naming them."""
    own = ~np.asarray(copies, dtype=bool)
    positions, counts = np.unique(match.positions[own], return_counts=True)
    if (counts == 1).all():
        return
    first = positions[counts > 1][0]
    columns = match.columns[own & (match.positions == first)][:2]
    one, two = (f"{match.names[column]!r} (gene {column + 1:,} of the data)" for column in columns)
    repeated = int((counts > 1).sum())
    raise InputError(
        f"{repeated:,} of the model's genes occur more than once: {one} and {two} are both "
        f"{vocabulary.ids[first]}; remove one, take another gene column, or add their counts "
        'with duplicates="sum" (--duplicates sum)'
    )


def _announce(match: GeneMatch, vocabulary: GeneVocabulary) -> None:
    """Say what was found, and warn where it is too little to be meant."""
    genes = len(match.names)
    _LOG.info(
        "genes: %s of %s found by %s in %s; %.1f %% of the model's %s genes",
        f"{match.columns.size:,}",
        f"{genes:,}",
        {"id": "id", "symbol": "symbol", "mixed": "id or symbol"}[match.kind],
        match.found_in,
        100 * match.coverage,
        f"{len(vocabulary):,}",
    )
    if match.unknown:
        _LOG.info(
            "genes: %s not known to the model: %s", f"{len(match.unknown):,}", _some(match.unknown)
        )
    if match.by_other_name:
        _LOG.info(
            "genes: %s of them found by an earlier symbol or an alias: %s",
            f"{len(match.by_other_name):,}",
            _some(match.by_other_name),
        )
    if match.repeated:
        extra = match.positions.size - match.matched
        _LOG.info(
            "genes: adding the counts of %s repeated columns to those of their gene", f"{extra:,}"
        )
    if match.matched < _FEW * min(genes, len(vocabulary)):
        reason = likely_reason(match.unknown, vocabulary) or "check the unknown names"
        _LOG.warning(
            "genes: only %s of %s are known: %s", f"{match.matched:,}", f"{genes:,}", reason
        )


def _some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
