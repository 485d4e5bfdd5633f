"""The vocabulary of a corpus: the union of several sources of genes, each gene with its reasons."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Literal

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import atomic_file
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.records import PROTEIN_CODING
from sclong_data.genes.table import GeneTable

Reason = Literal["expressed", "protein_coding", "go", "gene2vec"]
REASONS: tuple[Reason, ...] = ("expressed", "protein_coding", "go", "gene2vec")
"""Why a gene is in: among those with most non-zeros; codes for a protein; annotated in the Gene
Ontology; has a Gene2vec vector (paper, Methods)."""
TOP = 20_000
"""Genes with most non-zeros that are taken (paper)."""
PAPER: dict[Reason, int] = {
    "expressed": 20_000,
    "protein_coding": 19_748,
    "go": 20_480,
    "gene2vec": 20_184,
}
"""The paper's numbers of genes by reason; their union is 27,874."""


@dataclass(frozen=True)
class SourceNames:
    """What became of the names of genes that one source gives."""

    names: int
    """How many it gives."""
    genes: int
    """How many genes they are."""
    ambiguous: tuple[str, ...]
    """Names that stand for several genes, sorted."""
    unknown: tuple[str, ...]
    """Names of no gene of the table, sorted."""


@dataclass(frozen=True)
class BuiltVocabulary:
    """A vocabulary and why each gene is in it."""

    vocabulary: GeneVocabulary
    reasons: tuple[frozenset[Reason], ...]
    """Of each gene, in the order of the vocabulary."""
    biotypes: tuple[str, ...]
    nonzeros: tuple[int | None, ...]
    """Non-zero values of each gene in the cells that were counted; None where none were."""
    sources: Mapping[Reason, SourceNames] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[Reason, int]:
        """Number of genes by reason; a gene counts for each of its reasons."""
        counts = Counter(reason for held in self.reasons for reason in held)
        return {reason: counts[reason] for reason in REASONS}

    def only(self) -> dict[Reason, int]:
        """Number of genes that are in for one reason alone."""
        counts = Counter(next(iter(held)) for held in self.reasons if len(held) == 1)
        return {reason: counts[reason] for reason in REASONS}

    def write_reasons(self, path: str | PathLike[str]) -> None:
        """Write a table of genes and reasons, tab separated, one gene a line."""
        header = ("gene_id", "symbol", "biotype", "nonzeros", *REASONS)
        vocabulary = self.vocabulary
        rows = zip(
            vocabulary.ids,
            vocabulary.symbols,
            self.biotypes,
            ("" if count is None else str(count) for count in self.nonzeros),
            *(["1" if reason in held else "0" for held in self.reasons] for reason in REASONS),
            strict=True,
        )
        with atomic_file(path) as temporary:
            lines = ("\t".join(row) for row in (header, *rows))
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def build_vocabulary(
    table: GeneTable,
    *,
    nonzeros: Mapping[str, int] | None = None,
    annotated: Iterable[str] | None = None,
    with_vector: Iterable[str] | None = None,
    protein_coding: bool = True,
    top: int = TOP,
) -> BuiltVocabulary:
    """The union of four sources of genes, in the order of their Ensembl ids (paper, Methods).

    A gene may be named by id, symbol or NCBI id in each source. Ambiguous and unknown names are
    left out and reported. A source that is None is not asked.

    Args:
        table: names of genes.
        nonzeros: number of non-zero values of each gene in the cells. Counts of several names of
            one gene are added. Genes without any are not taken.
        annotated: genes in the Gene Ontology.
        with_vector: genes with a Gene2vec vector.
        protein_coding: take the genes that code for a protein.
        top: how many of the genes with most non-zeros are taken; of equal ones, those whose ids
            come first.

    Raises:
        InputError: no gene is left, or a count is negative.
        ConfigError: ``top`` is under 1.
    """
    if top < 1:
        raise ConfigError(f"top must be 1 or more, not {top}")
    given: dict[Reason, Iterable[str]] = {}
    if nonzeros is not None:
        given["expressed"] = nonzeros
    if annotated is not None:
        given["go"] = annotated
    if with_vector is not None:
        given["gene2vec"] = with_vector
    chosen: dict[Reason, set[str]] = {}
    sources: dict[Reason, SourceNames] = {}
    counts: Counter[str] = Counter()
    for reason, names in given.items():
        # Sorted, so that the order in which a source names genes cannot matter.
        ordered = sorted(set(names))
        genes = table.resolve(ordered)
        if reason == "expressed" and nonzeros is not None:
            counts = _count(ordered, genes.ids, nonzeros)
            chosen[reason] = set(_most(counts, top))
        else:
            chosen[reason] = {gene for gene in genes.ids if gene is not None}
        how = list(zip(ordered, genes.how, strict=True))
        sources[reason] = SourceNames(
            names=len(ordered),
            genes=len({gene for gene in genes.ids if gene is not None}),
            ambiguous=tuple(name for name, word in how if word == "ambiguous"),
            unknown=tuple(name for name, word in how if word == "unknown"),
        )
    if protein_coding:
        coding = {gene for gene, about in table.genes.items() if about.biotype == PROTEIN_CODING}
        chosen["protein_coding"] = coding
    ids = sorted(set().union(*chosen.values()))
    if not ids:
        raise InputError("no source gives a gene that the gene table knows: give other sources")
    return BuiltVocabulary(
        vocabulary=GeneVocabulary.from_ids(ids, _symbols(ids, table)),
        reasons=tuple(
            frozenset(reason for reason in REASONS if gene in chosen.get(reason, ()))
            for gene in ids
        ),
        biotypes=tuple(table.genes[gene].biotype if gene in table.genes else "" for gene in ids),
        nonzeros=tuple(counts[gene] if nonzeros is not None else None for gene in ids),
        sources=sources,
    )


def _count(
    names: Sequence[str], genes: Sequence[str | None], nonzeros: Mapping[str, int]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, gene in zip(names, genes, strict=True):
        if nonzeros[name] < 0:
            raise InputError(f"gene {name!r} has {nonzeros[name]} non-zeros: counts are 0 or more")
        if gene is not None:
            counts[gene] += nonzeros[name]
    return counts


def _most(counts: Mapping[str, int], top: int) -> list[str]:
    """The genes with the largest counts, without those that have none."""
    expressed = [gene for gene, count in counts.items() if count]
    return sorted(expressed, key=lambda gene: (-counts[gene], gene))[:top]


def _symbols(ids: Sequence[str], table: GeneTable) -> list[str]:
    """The symbols of genes; a symbol of several genes is given to none, as it would find none."""
    symbols = [table.genes[gene].symbol if gene in table.genes else "" for gene in ids]
    often = Counter(symbols)
    return [symbol if often[symbol] == 1 else "" for symbol in symbols]
