"""Of which species cells are: by every column that names genes, and by their annotation."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr

from sclong_core.errors import InputError
from sclong_core.expression.names import clean_name, genome_prefix, is_text
from sclong_core.expression.recognition import Normalisation
from sclong_core.expression.rows import Csr, row_index
from sclong_core.expression.store import require_stored
from sclong_core.expression.units import LOG1P

_LOG = logging.getLogger("sclong")
HUMAN: Final = "human"
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
            f"{foreign:,} of its {self.of.size:,} genes are those of {self.others}, "
            "judged by their ids, genome or symbols"
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
        (
"%s of %s genes have ids of %s, but a column of var gives the genome of %s: "
"using the ids; unless genes were mapped to orthologs, one of the two is wrong"
),
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
            _LOG.warning("%s is treated as %s although %s", where, wanted, reason)


def refuse_species(where: str, reason: str, wanted: str) -> None:
    """Refuse data of another species.

    Raises:
        InputError: always.
    """
    ways = f"map genes to their {wanted} orthologs"
    if wanted == HUMAN and MOUSE_SYMBOLS in reason:
        ways += ' (organism="mouse", --organism mouse, does)'
    raise InputError(
        f"{where} is not {wanted} data: {reason}; {ways}, remove cells of other species, or pass "
        "allow_other_species=True (--allow-other-species) if it is"
    )


_SHORT = {
    "hs": "human", "hsap": "human", "hsapiens": "human", "h. sapiens": "human", "homo": "human",
    "h sapiens": "human", "h_sapiens": "human", "mm": "mouse", "mmus": "mouse", "mice": "mouse",
    "mmusculus": "mouse", "m. musculus": "mouse", "m musculus": "mouse", "m_musculus": "mouse",
    "mus": "mouse", "murine": "mouse",
}  # fmt: skip
_BINOMIAL = re.compile(r"[A-Z][a-z]+[ _][a-z]{3,}([ _][a-z]+)?")
_TERM = "organism_ontology_term_id"
_COLUMNS = (_TERM, "organism", "species_ontology_term_id", "species")
"""In this order: the first that tells is believed."""
_GROUPS = re.compile(r"(schema|metadata|dataset|study)\w*", re.I)
_SILENT = frozenset({"", "nan", "na", "n/a", "<na>", "unknown", "none", "null"})
_PLAIN = {"NCBITaxon:9606": "human", "NCBITaxon:10090": "mouse"}


def named_species(value: str) -> str:
    """The species that a name or an id of an NCBI taxon stands for; "" where it is not known.

    Args:
        value: for example "Homo sapiens", "human", "NCBITaxon:9606" or "9606".
    """
    plain = value.strip().lower()
    if plain in TAXA.values():
        return plain
    return species_of_taxon(plain) or _SHORT.get(plain) or species_of_genome(plain)


def is_organism(value: str, taxon: str) -> bool:
    """Whether a name or an id of a species is that of an NCBI taxon.

    Args:
        value: for example "Homo sapiens", "human" or "NCBITaxon:9606".
        taxon: for example "NCBITaxon:9606", or a species as :func:`named_species` gives it.
    """
    wanted = named_species(taxon)
    if wanted:
        return named_species(value) == wanted
    return value.strip().lower() == taxon.strip().lower()


def plain_species(taxon: str) -> str:
    """A taxon as :mod:`sclong_core.expression.species` names it; "" for others than these."""
    return _PLAIN.get(taxon, "")


def declared_organisms(text: str) -> tuple[str, ...]:
    """The species that a manifest or a file names, separated by ``;`` or ``||``."""
    parts = (part.strip() for part in re.split(r";|\|\|", text))
    return tuple(part for part in parts if part.lower() not in _SILENT)


def cells_of_organism(obs: pd.DataFrame, taxon: str) -> npt.NDArray[np.bool_] | None:
    """Which cells are of a species, as their annotation says; None where it does not say.

    Cells for which nothing is noted count as being of it.
    """
    found = _telling_column(obs)
    if found is None:
        return None
    _, codes, named = found
    right = [all(is_organism(name, taxon) for name in names) for names in named]
    return np.array([*right, True])[codes]


def other_organisms(obs: pd.DataFrame, uns: str, species: str) -> str | None:
    """Why the annotation says that cells are not of a species; None where it does not.

    Args:
        obs: annotation of the cells.
        uns: what :func:`note_in_store` or :func:`note_in_memory` found.
        species: as :func:`named_species` gives it.
    """
    found = _telling_column(obs)
    if found is not None:
        column, codes, named = found
        right = [all(is_organism(name, species) for name in names) for names in named]
        wrong = ~np.array([*right, True])[codes]
        if not wrong.any():
            return None
        first = int(np.argmax(wrong))
        return (
            f"{column} in obs is {'; '.join(named[codes[first]])!r} for {int(wrong.sum()):,} of "
            f"{len(obs):,} cells (the first is {str(obs.index[first])!r})"
        )
    names = declared_organisms(uns)
    if names and not any(is_organism(name, species) for name in names):
        return f"uns says that its cells are of {'; '.join(names)!r}"
    return None


def _telling_column(
    obs: pd.DataFrame,
) -> tuple[str, npt.NDArray[np.int64], list[tuple[str, ...]]] | None:
    """The first column that names species: its name, a code of each cell, and what codes name."""
    for number, column in _candidates(obs):
        codes, values = pd.factorize(obs.iloc[:, number])
        named = [declared_organisms(str(value)) for value in values]
        if column.lower() == "species" and not all(map(_are_species, named)):
            continue  # of microbes, trees, samples: another thing than the organism of the cells
        if any(named):
            return column, np.asarray(codes, dtype=np.int64), named
    return None


def _are_species(names: tuple[str, ...]) -> bool:
    return all(named_species(name) or _BINOMIAL.fullmatch(name) for name in names)


def _candidates(obs: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Columns that may name species, the most exact first, whatever their capitals."""
    held = [str(column) for column in obs.columns]
    for wanted in _COLUMNS:
        yield from (
            (number, name) for number, name in enumerate(held) if name.strip().lower() == wanted
        )


def note_in_store(store: Any) -> str:
    """What ``uns`` of an open AnnData file or zarr store says of the species, "" for nothing."""
    if "uns" not in store:
        return ""
    for place in _places(store["uns"], h5py.Group | zarr.Group):
        if isinstance(place, h5py.Dataset | zarr.Array) and place.shape in ((), (1,)):
            require_stored(place)
            found = np.asarray(place[()]).reshape(-1)[0]
            text = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
            if declared_organisms(text):
                return text
    return ""


def note_in_memory(uns: Mapping[str, Any]) -> str:
    """The same of ``uns`` of an AnnData object."""
    for found in _places(uns, Mapping):
        if isinstance(found, str | int | np.generic) and declared_organisms(str(found)):
            return str(found)
        if isinstance(found, np.ndarray) and found.size == 1:
            return str(found.reshape(-1)[0])
    return ""


def _places(uns: Any, group: Any) -> Iterator[Any]:
    """What stands under the names of ``uns`` that note a species, groups of notes last."""
    groups = [uns, *(uns[key] for key in uns if _GROUPS.fullmatch(str(key)))]
    for held in groups:
        if isinstance(held, group):
            yield from (held[column] for column in _COLUMNS if column in held)
