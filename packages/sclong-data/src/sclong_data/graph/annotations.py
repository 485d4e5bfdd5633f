"""Annotations of genes with terms: what each format says, and the terms of each gene in the end."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sclong_core.errors import InputError
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.table import GeneTable

Verdict = Literal["alternative", "obsolete", "unknown term"]
"""What an ontology says of a term that is not simply one of its own."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One statement of a file: a gene, by the names given there, has a term."""

    term: str
    names: tuple[str, ...]
    """Ensembl or NCBI ids or symbols of the gene, the most reliable first."""
    uniprot: str | None = None
    """The protein that was annotated."""
    out: str | None = None
    """Why the statement does not count: it says NOT, or is of another species."""


class Ontology(Protocol):
    """What is asked of an ontology."""

    def current(self, term: str) -> tuple[str | None, Verdict | None]:
        """The term's own id, None if it has none now, and a word on it where it is not plain."""

    def ancestors(self, term: str) -> frozenset[str]:
        """The more general terms that hold wherever this one does."""


@dataclass
class GeneTerms:
    """The terms of each gene, and what became of the statements."""

    terms: dict[str, set[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    """Statements by what became of them: "used", or why not."""
    ambiguous: set[str] = field(default_factory=set)
    """Names that stand for several genes."""
    unknown: set[str] = field(default_factory=set)
    """Names of no gene of the table."""
    resolved: int = 0
    """Statements whose term was given by an alternative id."""

    @property
    def used(self) -> int:
        """Number of statements that count."""
        return self.counts["used"]


def collect_terms(
    annotations: Iterable[Annotation],
    table: GeneTable | None,
    ontology: Ontology | None = None,
    *,
    propagate: bool = False,
) -> GeneTerms:
    """The terms of each gene.

    Args:
        annotations: statements in any order.
        table: names of genes; without it, genes keep the first name they are given.
        ontology: obsolete and unknown terms go out and alternative ids are resolved, if given.
        propagate: give genes the ancestors of their terms, too.

    Raises:
        InputError: no statement is left, or ``propagate`` without ontology.
    """
    if propagate and ontology is None:
        raise InputError("terms can only be propagated to their ancestors with an ontology (.obo)")
    found = GeneTerms()
    genes: dict[tuple[str, ...], tuple[str | None, str]] = {}
    for said in annotations:
        term, why = (None, said.out) if said.out else _term(said.term, ontology, found)
        if term is None:
            found.counts[str(why)] += 1
            continue
        key = (said.uniprot or "", *said.names)
        if key not in genes:
            genes[key] = _gene(said, table)
        gene, why = genes[key]
        found.counts[why] += 1
        if gene is not None:
            found.terms.setdefault(gene, set()).add(term)
        else:
            lost = found.ambiguous if why == "ambiguous gene" else found.unknown
            lost.add(said.names[0] if said.names else str(said.uniprot))
    if not found.terms:
        reasons = ", ".join(f"{why}: {count:,}" for why, count in found.counts.most_common())
        raise InputError(f"no annotation of a known human gene is left ({reasons or 'none read'})")
    if propagate and ontology is not None:
        for held in found.terms.values():
            held.update(*[ontology.ancestors(term) for term in held])
    return found


def terms_in_order(
    terms: Mapping[str, set[str]], vocabulary: GeneVocabulary, table: GeneTable | None
) -> dict[str, set[str]]:
    """The terms of each gene of a vocabulary, by the vocabulary's own ids.

    A vocabulary may hold retired ids: the table leads to the genes that they are now. Without a
    table, genes are named by the vocabulary's ids or symbols.

    Args:
        terms: of genes, as :func:`collect_terms` gives them.
        vocabulary: genes in order.
        table: the same as for :func:`collect_terms`.
    """
    found: dict[str, set[str]] = {gene: set() for gene in vocabulary.ids}
    if table is not None:
        current = table.resolve(vocabulary.ids).ids
        for own, now in zip(vocabulary.ids, current, strict=True):
            found[own] |= terms.get(own) or terms.get(now or "", set())
        return found
    names = list(terms)
    for name, position in zip(names, vocabulary.lookup(names).tolist(), strict=True):
        if position >= 0:
            found[vocabulary.ids[position]] |= terms[name]
    return found


def _term(
    term: str, ontology: Ontology | None, found: GeneTerms
) -> tuple[str | None, Verdict | None]:
    """The term that a statement means now."""
    if ontology is None:
        return term, None
    current, verdict = ontology.current(term)
    found.resolved += verdict == "alternative"
    return current, verdict


def _gene(said: Annotation, table: GeneTable | None) -> tuple[str | None, str]:
    """The gene that a statement is about, and how that went."""
    if table is None:
        return (said.names[0], "used") if said.names else (None, "unknown gene")
    ambiguous = False
    if said.uniprot is not None:
        resolution = table.resolve_uniprot([said.uniprot])
        if resolution.ids[0] is not None:
            return resolution.ids[0], "used"
    resolution = table.resolve(said.names)
    for gene, how in zip(resolution.ids, resolution.how, strict=True):
        if gene is not None:
            return gene, "used"
        ambiguous |= how == "ambiguous"
    return None, "ambiguous gene" if ambiguous else "unknown gene"
