"""Of which species the genes of a data set are, by every column that tells it."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression.names import clean_name, genome_prefix, is_text
from sclong_core.expression.recognition import Normalisation
from sclong_core.expression.rows import Csr, row_index
from sclong_core.expression.units import LOG1P

_LOG = logging.getLogger("sclong")
HUMAN = "human"
_PREFIXES = {
    "ENSG": HUMAN, "ENSMUSG": "mouse", "ENSRNOG": "rat", "ENSMMUG": "rhesus macaque",
    "ENSMFAG": "crab-eating macaque", "ENSSSCG": "pig", "ENSDARG": "zebrafish",
    "ENSGALG": "chicken", "ENSBTAG": "cow", "ENSPTRG": "chimpanzee", "ENSCAFG": "dog",
    "ENSOCUG": "rabbit", "ENSCJAG": "marmoset", "ENSOARG": "sheep", "ENSXETG": "frog",
    "ENSMICG": "mouse lemur", "ENSCPOG": "guinea pig", "ENSECAG": "horse", "ENSFCAG": "cat",
    "ENSMAUG": "golden hamster", "ENSGGOG": "gorilla", "FBgn": "fruit fly", "WBGene": "roundworm",
}  # fmt: skip
TAXA = {
    "9606": HUMAN, "10090": "mouse", "10116": "rat", "9544": "rhesus macaque",
    "9541": "crab-eating macaque", "9823": "pig", "7955": "zebrafish", "9031": "chicken",
    "9913": "cow", "9615": "dog", "9598": "chimpanzee", "9483": "marmoset", "7227": "fruit fly",
    "6239": "roundworm", "9986": "rabbit", "9940": "sheep", "8364": "frog", "30608": "mouse lemur",
    "10141": "guinea pig", "9796": "horse", "9685": "cat", "10036": "golden hamster",
    "9593": "gorilla", "9595": "gorilla",
}  # fmt: skip
"""Ids of NCBI's taxonomy."""
_TAXON = re.compile(r"(?:ncbitaxon|ncbi|taxon|taxid|txid)?[:_ ]?(\d+)(?:\.0)?", re.I)
_NAMED_TAXON = re.compile(r"\bNCBITaxon[:_](\d+)\b", re.I)
_ID = re.compile(r"(?P<prefix>ENS[A-Z]*?G)(?:R0|0|\d)\d{4,}.*|(?P<other>FBgn|WBGene)\d+")
_GENOMES = (
    (re.compile(r"GRCh\d+|hg(18|19|38)|T2T|CHM13|homo.?sapiens|human", re.I), HUMAN),
    (re.compile(r"GRCm\d+|mm(9|10|39)|mus.?musculus|mouse(?!.lemur)", re.I), "mouse"),
    (re.compile(r"Mmul|rheMac|mulatta", re.I), "rhesus macaque"),
    (re.compile(r"Mfas|macFas|fascicularis", re.I), "crab-eating macaque"),
    (re.compile(r"Rnor|mRatBN|\brn[67]\b|norvegicus|\brat\b", re.I), "rat"),
    (re.compile(r"Sscrofa|susScr|\bpig\b", re.I), "pig"),
    (re.compile(r"GRCz\d+|danRer|danio", re.I), "zebrafish"),
    (re.compile(r"GRCg\d|galGal|gallus", re.I), "chicken"),
    (re.compile(r"ARS-UCD|bosTau|UMD3", re.I), "cow"),
    (re.compile(r"CanFam|ROS_Cfam|Dog10K", re.I), "dog"),
    (re.compile(r"panTro|Pan_tro", re.I), "chimpanzee"),
    (re.compile(r"calJac|cjacchus", re.I), "marmoset"),
    (re.compile(r"BDGP\d|\bdm[36]\b", re.I), "fruit fly"),
    (re.compile(r"WBcel\d+|\bce1[01]\b", re.I), "roundworm"),
)
_MOUSE_SYMBOL = re.compile(
    r"(?!C(\d+|X|Y)orf)[A-Z][a-z0-9]*[a-z][a-zA-Z0-9.-]*|[0-9]+[A-Za-z0-9]+Rik"
)
_SMALL_SYMBOL = re.compile(r"(?!g(ene)?[-_.]?\d|feature)[a-z][a-z0-9.-]*[a-z0-9]")
_GENOME_COLUMN = re.compile(
    r"(.+:)?genomes?([-_.:].*)?|(feature_)?reference|(organism|species)(_ontology_term_id)?"
)
_BY_SYMBOL = 0.1
_MIXED = 0.1
_MOST = 0.5
SMALL_LETTERS = "another species (symbols in small letters, as those of the zebrafish)"
MOUSE_SYMBOLS = "mouse"


@dataclass(frozen=True)
class GeneSpecies:
    """The species of each gene of a data set, "" where nothing tells it."""

    of: npt.NDArray[np.object_]
    wanted: str
    """The species of the model or corpus, "" where that is not known."""

    @property
    def foreign(self) -> npt.NDArray[np.bool_]:
        """Genes of another species."""
        if not self.wanted:
            return np.zeros(self.of.size, dtype=bool)
        return np.asarray((self.of != "") & (self.of != self.wanted), dtype=bool)

    @property
    def others(self) -> str:
        """The other species, the one with most genes first."""
        counts = Counter(self.of[self.foreign])
        return " and ".join(species for species, _ in counts.most_common(2))

    @property
    def reason(self) -> str | None:
        """Why the genes are those of another species; None where they are not, or are mixed."""
        foreign = int(self.foreign.sum())
        if not self.wanted or 2 * foreign <= self.of.size:
            return None
        if int((self.of == self.wanted).sum()) > _MIXED * foreign:
            return None
        return (
            f"{foreign:,} of its {self.of.size:,} genes are those of {self.others}, by their ids, "
            "genome or symbols"
        )


def species_of_genes(var: pd.DataFrame, wanted: str) -> GeneSpecies:
    """Tell the species of each gene.

    A gene is of the wanted species where any of its columns holds an id of it, because data whose
    genes were mapped to orthologs keeps their first ids too. Else the first id, prefix of a genome
    or column of genomes decides. Where none tells, the way symbols are written does: those of the
    mouse are capitalised, those of the zebrafish small.

    Args:
        var: annotation of the genes.
        wanted: species of the model or corpus.
    """
    found = np.full(len(var), "", dtype=object)
    by_genome = found.copy()
    names = [clean_name(name) for name in var.index]
    columns = [("", names)]
    for number in range(var.shape[1]):
        column = var.iloc[:, number]
        if is_text(column):
            columns.append((str(column.name), [clean_name(value) for value in column]))
    for name, values in columns:
        known: dict[str, str] = {}
        is_genome = _GENOME_COLUMN.fullmatch(name.lower()) is not None
        for row, value in enumerate(values):
            if is_genome:
                if value not in known:
                    known[value] = species_of_taxon(value) or species_of_genome(value)
                by_genome[row] = by_genome[row] or known[value]
            else:
                species = species_of_name(value)
                if species and (not found[row] or species == wanted):
                    found[row] = species
    _warn_of_contradiction(found, by_genome)
    found = np.where(found == "", by_genome, found)
    if wanted == HUMAN:
        _by_symbols(names, found)
    return GeneSpecies(found, wanted)


def _warn_of_contradiction(
    by_id: npt.NDArray[np.object_], by_genome: npt.NDArray[np.object_]
) -> None:
    """Say that ids name another species than the column of genomes does; ids are believed."""
    other = (by_id != "") & (by_genome != "") & (by_id != by_genome)
    if not other.any():
        return
    pairs = Counter(zip(by_id[other], by_genome[other], strict=True))
    (told, noted), count = pairs.most_common(1)[0]
    _LOG.warning(
        "%s of %s genes have ids of %s, but a column of var says that their genome is that of %s: "
        "their ids are believed; unless genes were mapped to orthologs, one of both is wrong",
        f"{count:,}", f"{by_id.size:,}", told, noted,
    )  # fmt: skip


def species_of_name(name: str) -> str:
    """The species of an Ensembl id or of a name that begins with a genome; "" for others."""
    if name.startswith(("ENS", "FBgn", "WBGene")):
        matched = _ID.fullmatch(name)
        if matched is None:
            return ""
        prefix = matched["prefix"] or matched["other"]
        return _PREFIXES.get(prefix, f"another species ({prefix})")
    genome, _ = genome_prefix(name)
    return species_of_genome(genome) if genome else ""


def species_of_taxon(value: str) -> str:
    """The species of an id of NCBI's taxonomy ("NCBITaxon:10116", "10116"); "" for all else."""
    taxon = _TAXON.fullmatch(value)
    return TAXA.get(taxon[1], "") if taxon else ""


def species_of_genome(genome: str) -> str:
    """The species of a genome's name or of a taxon in it; "" where not known, or of several."""
    found = {species for pattern, species in _GENOMES if pattern.search(genome)}
    found |= {TAXA[taxon] for taxon in _NAMED_TAXON.findall(genome) if taxon in TAXA}
    return found.pop() if len(found) == 1 else ""


def species_of_vocabulary(ids: Sequence[str]) -> str:
    """The species of most ids of a vocabulary; "" where they do not tell."""
    counts = Counter(species_of_name(name) for name in ids)
    species, count = counts.most_common(1)[0]
    return species if 2 * count > len(ids) else ""


def _by_symbols(names: Sequence[str], found: npt.NDArray[np.object_]) -> None:
    """Judge genes that nothing else tells by how their symbols are written."""
    silent = np.flatnonzero(found == "").tolist()
    for pattern, species, least in (
        (_MOUSE_SYMBOL, MOUSE_SYMBOLS, _BY_SYMBOL),
        (_SMALL_SYMBOL, SMALL_LETTERS, _MOST),
    ):
        rows = [row for row in silent if pattern.fullmatch(names[row])]
        if len(rows) > least * len(silent):
            found[rows] = species


@dataclass
class SpeciesTally:
    """How many counts are on genes of other species, over blocks of cells."""

    species: GeneSpecies
    cells: dict[Normalisation, int] = field(default_factory=lambda: {"raw": 0, "log1p": 0})
    """Cells most of whose counts are those of other species."""
    first: dict[Normalisation, str] = field(default_factory=dict)
    total: dict[Normalisation, float] = field(default_factory=lambda: {"raw": 0.0, "log1p": 0.0})
    foreign: dict[Normalisation, float] = field(default_factory=lambda: {"raw": 0.0, "log1p": 0.0})

    def add(self, rows: Csr, names: Sequence[str]) -> None:
        """Count a block of canonical rows without negative values."""
        mask = self.species.foreign
        if not mask.any():
            return
        logged = np.expm1(np.minimum(rows.data, LOG1P.largest))
        values: dict[Normalisation, npt.NDArray[np.float64]] = {"raw": rows.data, "log1p": logged}
        for kind, data in values.items():
            index, count = row_index(rows), rows.shape[0]
            of_others = data * mask[rows.indices]
            totals = np.bincount(index, weights=data, minlength=count)
            others = np.bincount(index, weights=of_others, minlength=count)
            most = (others > _MOST * totals) & (totals > 0)
            if most.any():
                self.first.setdefault(kind, names[int(np.argmax(most))])
            self.cells[kind] += int(most.sum())
            self.total[kind] += float(totals.sum())
            self.foreign[kind] += float(others.sum())

    def reason(self, kind: Normalisation) -> str | None:
        """Why the cells are not those of the wanted species alone; None if they are."""
        share = self.foreign[kind] / max(self.total[kind], 1e-300)
        if not self.cells[kind] and share <= _MIXED:
            return None
        words = f"{share:.0%} of all counts are on genes of {self.species.others}"
        if self.cells[kind]:
            words += (
                f", and they are most counts of {self.cells[kind]:,} cells (the first is "
                f"{self.first[kind]!r})"
            )
        return words


def check_species(where: str, wanted: str, reasons: Iterable[str | None], *, allowed: bool) -> None:
    """Refuse cells of another species than the wanted one, or say that they are allowed.

    Args:
        where: the file, for the message.
        wanted: species of the model.
        reasons: why they are of another one, by each kind of evidence; None where it is silent.
        allowed: they are taken nevertheless.

    Raises:
        InputError: they are of another species, which is not allowed.
    """
    for reason in reasons:
        if reason is not None and not allowed:
            refuse_species(where, reason, wanted)
        if reason is not None:
            _LOG.warning("%s is taken as %s although %s", where, wanted, reason)


def refuse_species(where: str, reason: str, wanted: str) -> None:
    """Refuse data of another species.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"{where} is not {wanted} data: {reason}; map genes to their {wanted} orthologs, remove "
        "cells of other species, or pass allow_other_species=True (--allow-other-species) if it is"
    )
