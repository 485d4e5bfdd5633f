"""Tables of genes made one: current ids, retired ones, and the genes each name stands for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sclong_data.genes.records import PROTEIN_CODING, GeneRecord


@dataclass(frozen=True, slots=True)
class Gene:
    """One gene as the merged tables have it."""

    id: str
    symbol: str
    """GENCODE's, else HGNC's, else empty."""
    biotype: str


@dataclass
class GeneNames:
    """Every name and the genes it stands for.

    ``approved`` holds HGNC's own word: the one gene of an approved symbol, or None where that gene
    has no Ensembl id. All others may hold several genes a name.
    """

    genes: dict[str, Gene] = field(default_factory=dict)
    retired: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    approved: dict[str, str | None] = field(default_factory=dict)
    annotated: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    previous: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    aliases: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    ncbi: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    uniprot: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def merge(
    annotations: Sequence[Sequence[GeneRecord]],
    hgnc: Sequence[GeneRecord],
    retired: Mapping[str, Iterable[str]],
) -> GeneNames:
    """Put tables together.

    The first annotation is the current one. An id that only HGNC or an older annotation holds is
    retired where a current gene has its symbol, and that gene alone; it stays a gene of its own
    where none has.

    Args:
        annotations: GENCODE's tables, the current one first.
        hgnc: the approved genes of HGNC.
        retired: successors of retired ids, as published.
    """
    names = GeneNames()
    for record in annotations[0] if annotations else ():
        _annotate(names, record)
    for old, successors in retired.items():
        if old not in names.genes:
            names.retired[old] |= set(successors)
    current = set(names.genes)
    _add_hgnc(names, hgnc, current)
    for older in annotations[1:]:
        for record in older:
            _add_older(names, record, current)
    for old in names.retired:
        names.retired[old] = _latest(old, names.retired)
    return names


def _annotate(names: GeneNames, record: GeneRecord) -> None:
    assert record.id is not None
    names.genes[record.id] = Gene(record.id, record.symbol, record.biotype)
    if record.symbol:
        names.annotated[record.symbol].add(record.id)


def _add_hgnc(names: GeneNames, records: Sequence[GeneRecord], current: set[str]) -> None:
    claimed = {record.id for record in records if record.id in current}
    for record in records:
        gene = record.id
        successor = _only(names.annotated.get(record.symbol, set()))
        if gene not in current and successor is not None and successor not in claimed:
            if gene is not None and gene not in names.retired:
                names.retired[gene].add(successor)
            gene = successor
        elif gene in names.retired:
            gene = _only(names.retired[gene])
        _describe(names, record, gene)


def _describe(names: GeneNames, record: GeneRecord, gene: str | None) -> None:
    """What HGNC says about a gene, whose Ensembl id may not be known."""
    names.approved[record.symbol] = gene
    if gene is None:
        return
    known = names.genes.get(gene, Gene(gene, "", ""))
    # Either source's word makes a gene one that codes for a protein.
    coding = PROTEIN_CODING in (known.biotype, record.biotype)
    biotype = PROTEIN_CODING if coding else known.biotype or record.biotype
    names.genes[gene] = Gene(gene, known.symbol or record.symbol, biotype)
    for kind, words in (
        (names.previous, record.previous),
        (names.aliases, record.aliases),
        (names.ncbi, (record.ncbi,) if record.ncbi else ()),
        (names.uniprot, record.uniprot),
    ):
        for word in words:
            kind[word].add(gene)


def _add_older(names: GeneNames, record: GeneRecord, current: set[str]) -> None:
    assert record.id is not None
    if record.id in names.genes or record.id in names.retired:
        if record.id in current and record.symbol not in ("", names.genes[record.id].symbol):
            names.previous[record.symbol].add(record.id)
        return
    successors = names.annotated.get(record.symbol, set()) & current
    approved = names.approved.get(record.symbol)
    if approved is not None:
        successors = successors | {approved}
    if record.symbol and successors:
        names.retired[record.id] |= successors
    else:
        _annotate(names, record)


def _latest(old: str, retired: Mapping[str, set[str]]) -> set[str]:
    """The successors of a retired id that are not retired themselves."""
    seen, left, latest = {old}, set(retired[old]), set()
    while left:
        successor = left.pop()
        if successor in retired and successor not in seen:
            left |= retired[successor] - seen
        elif successor not in retired:
            latest.add(successor)
        seen.add(successor)
    return latest


def _only(ids: set[str]) -> str | None:
    return next(iter(ids)) if len(ids) == 1 else None
