"""Which features of a matrix are genes, in every spelling that tools give their types."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression.names import clean_name, is_text
from sclong_core.human_genes import human_genes

Mask = npt.NDArray[np.bool_]
_TYPES = re.compile(r"(.+:)?(feature_?types?|feature_?biotype|modality|modalities)([-_.:].*)?")
_BIOTYPES = re.compile(r"(.+:)?(gene_?(bio)?types?|biotype)([-_.:].*)?")
_MISSING = frozenset({"", "nan", "none", "na", "n a", "<na>", "null", "unknown"})
_GENES = frozenset({
    "gene expression", "gene", "genes", "gex", "rna", "mrna", "scrna", "snrna", "sc rna", "sn rna",
    "gene expression profiling", "expression", "transcript", "transcripts", "transcriptome",
    "transcriptomics", "rna expression", "rna seq", "scrna seq", "snrna seq", "cdna", "endogenous",
    "protein coding", "gene counts", "genes expression",
})  # fmt: skip
_NO_GENES = frozenset({
    "antibody capture", "antibody", "antibodies", "adt", "ab", "protein", "proteins", "prot",
    "protein expression", "cite", "cite seq", "surface protein", "protein scaling",
    "antibody derived tag", "antibody derived tags", "isotype control",
    "hto", "htos", "hashtag", "hashtags", "hashing", "cell hashing", "hashtag oligo",
    "multiplexing capture", "multiplexing", "cmo", "multiseq", "multi seq",
    "crispr guide capture", "crispr", "guide", "guides", "guide rna", "grna", "grnas", "sgrna",
    "sgrnas", "gdo", "peaks", "peak", "atac", "atac seq", "scatac", "snatac", "chromatin",
    "chromatin accessibility", "accessibility", "dna accessibility", "region", "regions", "tiles",
    "bins", "fragments", "motif", "motifs", "custom", "custom capture", "vdj", "vdj t", "vdj b",
    "vdj t gd", "tcr", "bcr", "airr", "antigen capture", "antigen", "dextramer", "tetramer",
    "spike in", "spike ins", "spikein", "spikeins", "spike", "ercc", "sirv", "control", "controls",
    "negative control probe", "negative control codeword", "unassigned codeword",
    "deprecated codeword", "genomic control", "blank codeword", "blank", "negative control",
    "negative probe", "methylation", "cpg", "histone", "metabolite", "metabolites", "lipid",
    "lipids", "barcode", "barcodes", "larry", "lineage barcode", "image", "morphology",
})  # fmt: skip
_SPIKE_IN = re.compile(
    r"(.*[_-])?ERCC[-_.]?\d{5}(\.\d+)?|SIRV[-_.]?\d+.*|.*(spike-?in|spikein)[-_.].+|phiX(174)?"
    r"|RNA[-_.]?SPIKE[-_.]?\d+",
    re.I,
)
_STATUS = re.compile(
    r"__(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)"
    r"|N_(unmapped|multimapping|noFeature|ambiguous)|(Negative|Blank)(ControlCodeword|ControlProbe)_.+"
)
_REGION = re.compile(
    r"(GRC[hm]\d+_+|hg\d+_+|mm\d+_+)?chr[0-9XYMTUn]{1,2}[^-:]*[:_-]\d+[-_]\d+", re.I
)
_TAG = re.compile(
    r".+[-_. ](TotalSeq[-_]?[ABC]?|Total[ABC]|ADT|HTO|CITE|prot|AbO|pAbO)([-_.]\d+)?"
    r"|(TotalSeq|Hashtag|HTO|ADT|CMO)[-_.:]?\d+([-_.:].*)?|(TotalSeq|Hashtag|HTO|ADT|CMO)[-_.:].+"
    r"|(adt|prot|anti)[-:].+|(adt|prot|protein)[_:].*\d.*",
)
_ENSEMBL = re.compile(r"(\w+_+)?ENS[A-Z]*G[R0-9]\d{4,}([._].*)?")
_CLONE = re.compile(r"[A-Z]{1,3}\d{4,}\.\d+|(RP|CT[A-D]|XX|KB|LL)\w*-.+|LOC\d+|LINC\d+|MT-.+|MIR.+")
_MOSTLY = 0.9
_SHOWN = 5


@dataclass(frozen=True)
class Features:
    """Which features are genes, and what the others are."""

    kept: Mask
    """The genes."""
    others: tuple[str, ...]
    """What each feature is: a type in the words of the file, or what its name shows."""

    def describe(self) -> str:
        """The others, counted by kind, with the first name of those known by their names."""
        counts = Counter(np.asarray(self.others, dtype=object)[~self.kept])
        return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))


class FeatureTypesError(InputError):
    """Types of features are not known, or none of them is a gene.

    Args:
        problem: what is wrong.
        choice: what to do where types can be chosen.
        change: what to do where they cannot.
    """

    def __init__(self, problem: str, choice: str = "", change: str = "") -> None:
        super().__init__(f"{problem}; {choice}" if choice else problem)
        self.problem, self.choice, self.change = problem, choice, change

    def within(self, where: str) -> "FeatureTypesError":
        """The same of a file."""
        return FeatureTypesError(f"{where}: {self.problem}", self.choice, self.change)


@contextmanager
def types_as_they_are() -> Iterator[None]:
    """Name no option of types in errors, where cells are read without one.

    Raises:
        InputError: a type is not known, or no feature is a gene.
    """
    try:
        yield
    except FeatureTypesError as error:
        raise InputError(f"{error.problem}; {error.change}") from error


def find_features(var: pd.DataFrame, types: Collection[str] | None = None) -> Features:
    """Tell genes from peaks, antibodies, guides, spike-ins and everything else.

    A type is that of ``feature_types``, ``feature_type``, ``feature_biotype``, ``modality`` or a
    column named after these. Features without a type are judged by their names and ids. Spike-ins
    and the counters of aligners are not genes, whatever their type says.

    Args:
        var: annotation of the features.
        types: the types that are genes, as the file writes them; by default the usual ones.

    Raises:
        FeatureTypesError: a type is not known, or no feature is a gene.
    """
    words = [_Typed(*column) for column in _type_columns(var, types)]
    found = ["" for _ in range(len(var))]
    typed = np.zeros(len(var), dtype=bool)
    for column in words:
        for row, (kind, is_gene) in enumerate(zip(column.kinds, column.genes, strict=True)):
            typed[row] |= is_gene is not None
            if is_gene is False and not found[row]:
                found[row] = kind
    names = [clean_name(name) for name in var.index]
    places = [names, *(values for _, values in _text_columns(var))]
    for row, kind in _by_name(places, typed):
        found[row] = found[row] or kind
    if types is None and typed.any() and not typed.all():
        for row in _untyped_strangers(places, typed, found):
            found[row] = "without a type, and not genes by their names"
    kept = np.array([not kind for kind in found], dtype=bool)
    features = Features(kept, tuple(found))
    if len(var) and not kept.any() and typed.any():
        where = ", ".join(column.name for column in words if False in column.genes)
        raise FeatureTypesError(
            (
                f"none of the {len(var):,} features is a gene: according to "
                f"{where or 'their names'} they are {features.describe()}"
            ),
            (
                "use a file with gene expression, or list the types that are genes as "
                "feature_types (--feature-types)"
            ),
            (
                "use a file with gene expression, or rename the types of genes in var to "
                "'Gene Expression'"
            ),
        )
    return features


class _Typed:
    """A column of types: of each row its type, and whether that is a gene (None: not said)."""

    def __init__(self, name: str, kinds: list[str], genes: list[bool | None]) -> None:
        self.name, self.kinds, self.genes = name, kinds, genes


def _type_columns(
    var: pd.DataFrame, types: Collection[str] | None
) -> Iterator[tuple[str, list[str], list[bool | None]]]:
    wanted = None if types is None else {_plain(kind) for kind in types}
    for name, kinds in _text_columns(var):
        plain_name = name.strip().lower()
        strict = _TYPES.fullmatch(plain_name) is not None
        if not strict and not _BIOTYPES.fullmatch(plain_name):
            continue
        known = {kind: _is_gene(kind, wanted if strict else None) for kind in set(kinds)}
        unknown = sorted(
            kind for kind, gene in known.items() if gene is None and not _missing(kind)
        )
        if strict and unknown and len(known) > 1:
            listed = ", ".join(sorted(repr(kind) for kind in known if not _missing(kind)))
            raise FeatureTypesError(
                (
                    f"{name} of var holds unknown feature types: "
                    f"{', '.join(map(repr, unknown[:_SHOWN]))} (all types: {listed})"
                ),
                (
                    "list those that are genes as feature_types, for example "
                    f"--feature-types {unknown[0]!r}"
                ),
                (
                    f"rename those of genes to 'Gene Expression' in {name}, and remove the "
                    "other features"
                ),
            )
        # Whether a gene codes for a protein says nothing of those whose biotype is another one.
        if not strict:
            known = {kind: False if gene is False else None for kind, gene in known.items()}
        yield name, kinds, [known[kind] for kind in kinds]


def _is_gene(kind: str, wanted: Collection[str] | None) -> bool | None:
    plain = _plain(kind)
    if _missing(kind):
        return None
    if wanted is not None:
        return plain in wanted
    if plain in _GENES:
        return True
    return False if plain in _NO_GENES else None


def _missing(kind: str) -> bool:
    return _plain(kind) in _MISSING


def _plain(kind: str) -> str:
    return " ".join(re.sub(r"[-_./]+", " ", kind.casefold()).split())


def _text_columns(var: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    for number in range(var.shape[1]):
        column = var.iloc[:, number]
        if is_text(column):
            yield str(column.name), [clean_name(value) for value in column]


def _by_name(places: Sequence[list[str]], typed: Mask) -> Iterator[tuple[int, str]]:
    """Features that their names show to be no genes, and what they are."""
    for names in places:
        for row, name in enumerate(names):
            if _SPIKE_IN.fullmatch(name):
                yield row, "spike-ins"
            elif _STATUS.fullmatch(name):
                yield row, "counters of reads"
    patterns = ((_REGION, "regions of the genome"), (_TAG, "tags of antibodies"))
    names = places[0]
    for pattern, kind in patterns:
        rows = [row for row, name in enumerate(names) if not typed[row] and pattern.fullmatch(name)]
        if len(rows) < len(names):  # else the matrix holds nothing else, which matching will say
            yield from ((row, kind) for row in rows)


def _untyped_strangers(places: Sequence[list[str]], typed: Mask, found: list[str]) -> list[int]:
    """Features without a type whose ids and symbols are not a gene's, where others have a type."""
    genes = [row for row in np.flatnonzero(typed).tolist() if not found[row]]
    ids = [[_ENSEMBL.fullmatch(name) is not None for name in names] for names in places]
    by_id = any(sum(column[row] for row in genes) >= _MOSTLY * len(genes) for column in ids)
    table = human_genes()
    known = sum(table.knows(places[0][row]) for row in genes)
    if not genes or not (by_id or 2 * known > len(genes)):
        return []  # names of a kind that tells nothing
    return [
        row
        for row in np.flatnonzero(~typed).tolist()
        if not found[row]
        and not any(column[row] for column in ids)
        and not any(table.knows(names[row]) or _CLONE.fullmatch(names[row]) for names in places)
    ]
