"""One look at a whole data set before anything of it is written: is it kept, and what is it?"""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from scipy import sparse

from sclong_core.errors import InputError, ScLongError
from sclong_core.expression import CellSource, GeneMatch, Normalisation
from sclong_core.expression.genes import INDEX
from sclong_core.expression.normalisation import refuse_impossible
from sclong_core.expression.recognition import Evidence, Recognition
from sclong_core.expression.rows import Csr, canonical, cells_at_once
from sclong_core.expression.species import (
    GeneSpecies,
    SpeciesTally,
    cells_of_organism,
    declared_organisms,
    is_organism,
    plain_species,
    species_of_genes,
)
from sclong_core.expression.surveys import advice
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.dataset_manifest import DatasetEntry
from sclong_data.genes.mapping import GeneMapping, map_genes
from sclong_data.genes.table import GeneTable
from sclong_data.harmoniser.matrices import chosen_matrix
from sclong_data.harmoniser.rules import HarmoniseRules

_LOG = logging.getLogger("sclong")
SPARSE_CELLS = 512
"""Cells that are read at once where they are stored sparse: arrays of a few MB each."""
_SHOWN = 20
NOT_THE_ORGANISM = "other organism"
FEW_GENES = "data set of few genes"
NO_GENE = "no gene of the vocabulary"
UNKNOWN_VALUES = "unknown normalisation"
MIXED_VALUES = "raw and logged cells mixed"
IMPOSSIBLE_VALUES = "impossible values"


class RejectedError(ScLongError):
    """A data set that the rules leave out."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Survey:
    """What a data set is. Plain values: it is kept as JSON."""

    cells: int
    """Cells in the file."""
    genes: int
    """Genes in the file, of the matrix that is taken."""
    matrix: str
    """The matrix that is taken."""
    chosen: bool = False
    """It is another one than the file's first, and must be asked for."""
    rejected: str | None = None
    """Why the rules leave the data set out, in a few words that others share; None if they do
    not."""
    detail: str = ""
    """The same in full."""
    organism: str = ""
    """How its species is known."""
    normalisation: Normalisation | None = None
    """What the values are."""
    recognised: str = ""
    """What was seen of them."""
    forced: bool = False
    """The manifest says what the values are."""
    logged_sum: float | None = None
    """Median sum of log1p cells when the logarithm is undone."""
    common_sum: bool = False
    """All cells have that sum, within 1 %: they were scaled to it and hold all their genes."""
    gene_column: str = ""
    """Where the names of the genes are."""
    genes_by: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Genes in the file by how their names were understood."""
    genes_matched: int = 0
    """Genes of the vocabulary among them."""
    genes_summed: int = 0
    """Genes in the file that are added to another one."""
    ambiguous: tuple[str, ...] = ()
    """Names that stand for several genes, the first few."""
    lost: tuple[str, ...] = ()
    """Names that are not genes of the vocabulary, the first few."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**dataclasses.asdict(self), "genes_by": dict(self.genes_by)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        lists = {name: tuple(values[name]) for name in ("ambiguous", "lost")}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class Surveyed:
    """A survey, and where the genes of the data set are in the vocabulary if it is kept."""

    survey: Survey
    match: GeneMatch | None = None


def survey_dataset(
    source: CellSource,
    entry: DatasetEntry,
    vocabulary: GeneVocabulary,
    gene_table: GeneTable | None,
    rules: HarmoniseRules,
    *,
    reopen: Callable[[str], CellSource],
) -> Surveyed:
    """Look at every value of a data set.

    Args:
        source: the data set's first matrix, or the one that the manifest names.
        entry: what the manifest says of it.
        vocabulary: genes of the corpus.
        gene_table: names of genes.
        rules: what is kept.
        reopen: opens another matrix of the same file by its name.

    Raises:
        InputError: the data set cannot be read.
    """
    basics = Survey(source.n_cells, source.n_genes, source.matrix)
    try:
        organism = _organism(source, entry, rules)
    except RejectedError as error:
        return Surveyed(_rejected(basics, error))
    basics = dataclasses.replace(basics, organism=organism)
    if entry.matrix is not None or entry.normalisation != "auto":
        return _survey_matrix(source, basics, entry, vocabulary, gene_table, rules)
    with chosen_matrix(source, reopen) as chosen:
        basics = dataclasses.replace(
            basics, genes=chosen.n_genes, matrix=chosen.matrix, chosen=chosen is not source
        )
        return _survey_matrix(chosen, basics, entry, vocabulary, gene_table, rules)


def _survey_matrix(
    source: CellSource,
    basics: Survey,
    entry: DatasetEntry,
    vocabulary: GeneVocabulary,
    gene_table: GeneTable | None,
    rules: HarmoniseRules,
) -> Surveyed:
    """Look at the matrix that is taken."""
    try:
        _require_genes(source, rules)
        species = species_of_genes(source.var, plain_species(rules.organism))
        mapping = _genes(source, entry, vocabulary, gene_table, rules, species)
        basics = _with_genes(basics, mapping)
        counted = SpeciesTally(species)
        evidence = _values(source, mapping.match, entry, counted)
        found = _decide(source, evidence, entry)
        _require_species(source, counted, found, rules)
    except RejectedError as error:
        return Surveyed(_rejected(basics, error))
    sums = evidence.target_sum() if found.normalisation == "log1p" else None
    survey = dataclasses.replace(
        basics,
        normalisation=found.normalisation,
        recognised=found.seen,
        forced=entry.normalisation != "auto",
        logged_sum=None if sums is None else float(f"{sums[0]:.6g}"),
        common_sum=False if sums is None else sums[1],
    )
    return Surveyed(survey, mapping.match)


def _rejected(survey: Survey, error: RejectedError) -> Survey:
    return dataclasses.replace(survey, rejected=error.reason, detail=str(error))


def blocks(source: CellSource, start: int, stop: int) -> Iterator[tuple[int, Any]]:
    """Runs of cells, and where each starts, small enough to be held dense if they are stored so."""
    step = cells_at_once(source.n_genes)
    while start < stop:
        rows = source.read_rows(start, min(start + step, stop))
        yield start, rows
        start += rows.shape[0]
        if sparse.issparse(rows):
            step = max(step, SPARSE_CELLS)


def _organism(source: CellSource, entry: DatasetEntry, rules: HarmoniseRules) -> str:
    """How the species is known, if it is the right one."""
    noted = source.organism
    for where, text in (("the manifest", entry.organism), ("uns of the file", noted)):
        named = declared_organisms(text or "")
        if named and not any(is_organism(name, rules.organism) for name in named):
            raise RejectedError(NOT_THE_ORGANISM, f"{where} says {'; '.join(named)}")
    of_cells = cells_of_organism(source.obs, rules.organism)
    if of_cells is not None:
        if not of_cells.any():
            raise RejectedError(NOT_THE_ORGANISM, "obs says so for all of its cells")
        return "obs"
    if noted:
        return "uns"
    return "manifest" if entry.organism else "genes"


def _require_genes(source: CellSource, rules: HarmoniseRules) -> None:
    if source.n_genes < rules.min_genes_per_dataset:
        raise RejectedError(
            FEW_GENES,
            f"it has {source.n_genes:,} genes, fewer than {rules.min_genes_per_dataset:,}",
        )


def _genes(
    source: CellSource,
    entry: DatasetEntry,
    vocabulary: GeneVocabulary,
    gene_table: GeneTable | None,
    rules: HarmoniseRules,
    species: GeneSpecies,
) -> GeneMapping:
    held = (INDEX, *map(str, source.var.columns))
    if entry.gene_column is not None and entry.gene_column not in held:
        raise InputError(
            f"{source.name}: the manifest names the gene column {entry.gene_column!r}, but var "
            f"holds {', '.join(held)}"
        )
    try:
        mapping = map_genes(source.var, vocabulary, gene_table, gene_column=entry.gene_column)
    except InputError as error:
        reason = NO_GENE if species.reason is None else NOT_THE_ORGANISM
        raise RejectedError(reason, str(error)) from error
    if species.reason is not None:
        if rules.other_species == "refuse":
            raise RejectedError(NOT_THE_ORGANISM, species.reason)
        _LOG.warning("%s is kept although %s", source.name, species.reason)
    return mapping


def _with_genes(survey: Survey, mapping: GeneMapping) -> Survey:
    return dataclasses.replace(
        survey,
        gene_column=mapping.match.found_in,
        genes_by={str(how): int(count) for how, count in sorted(mapping.counts.items())},
        genes_matched=mapping.match.matched,
        genes_summed=mapping.summed,
        ambiguous=mapping.ambiguous[:_SHOWN],
        lost=mapping.lost[:_SHOWN],
    )


def _require_species(
    source: CellSource, counted: SpeciesTally, found: Recognition, rules: HarmoniseRules
) -> None:
    """Leave out cells of several species, whose counts tell."""
    assert found.normalisation is not None
    reason = counted.reason(found.normalisation)
    if reason is None:
        return
    if rules.other_species == "refuse":
        raise RejectedError(NOT_THE_ORGANISM, reason)
    _LOG.warning("%s is kept although %s", source.name, reason)


def _values(
    source: CellSource, match: GeneMatch, entry: DatasetEntry, counted: SpeciesTally
) -> Evidence:
    """What all values together show."""
    evidence = Evidence()
    where = f"{source.name}: {source.matrix}"
    for start, rows in blocks(source, 0, source.n_cells):
        names = [str(name) for name in source.obs.index[start : start + rows.shape[0]]]
        values = canonical(rows)
        _refuse_impossible(values, names, match, where, source)
        evidence.add(values, names)
        counted.add(values, names)
        if evidence.hopeless and entry.normalisation == "auto":
            break
    return evidence


def _refuse_impossible(
    values: Csr, names: list[str], match: GeneMatch, where: str, source: CellSource
) -> None:
    try:
        refuse_impossible(values, names, match.names, where=where, advice=lambda: advice(source))
    except InputError as error:
        raise RejectedError(IMPOSSIBLE_VALUES, str(error)) from error


def _decide(source: CellSource, evidence: Evidence, entry: DatasetEntry) -> Recognition:
    """The normalisation of all cells."""
    found = evidence.decide(logged=source.logged)
    if entry.normalisation != "auto":
        if found.normalisation != entry.normalisation:
            _LOG.warning(
                "%s: %s %s; treated as %s, as set in the manifest",
                source.name,
                source.matrix,
                found.seen,
                entry.normalisation,
            )
        return Recognition(entry.normalisation, found.seen)
    if found.normalisation is None:
        mixed = evidence.whole.cells > 0 and evidence.log1p.found
        raise RejectedError(
            MIXED_VALUES if mixed else UNKNOWN_VALUES,
            (
                f"{source.matrix} {found.seen}: {advice(source)}, or set the manifest's "
                "column normalisation"
            ),
        )
    return found
