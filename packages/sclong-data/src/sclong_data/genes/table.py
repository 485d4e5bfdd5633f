"""From the names that genes go by to their Ensembl ids."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from os import PathLike
from typing import Literal, Self

from sclong_core.errors import InputError
from sclong_core.vocabulary import plain_id
from sclong_data.genes import gencode, hgnc, retired
from sclong_data.genes.merging import Gene, GeneNames, merge
from sclong_data.genes.records import GeneRecord
from sclong_data.text_files import first_line

How = Literal["id", "retired", "symbol", "previous", "alias", "ncbi", "ambiguous", "unknown"]
"""How a name was understood."""
HOWS: tuple[How, ...] = (
    "id",
    "retired",
    "symbol",
    "previous",
    "alias",
    "ncbi",
    "ambiguous",
    "unknown",
)
_NCBI = re.compile(r"(?:LOC)?(\d+)")
_FRAME = re.compile(r"(C(?:\d+|X|Y))ORF(\d+)")
"""Open reading frames are ``C1orf43``: the only approved symbols with small letters. Whoever writes
all symbols in capitals means these, and no symbol of another gene has this form."""


@dataclass(frozen=True)
class GeneResolution:
    """What names of genes mean, side by side with them."""

    ids: tuple[str | None, ...]
    """Ensembl gene ids without version; None where a name is ambiguous or unknown."""
    how: tuple[How, ...]


class GeneTable:
    """The genes of HGNC, GENCODE or both, and every name they go by.

    A name means a gene in this order: an Ensembl id, with or without version, current or retired;
    the symbol in HGNC or GENCODE; a symbol of earlier days or another name; an NCBI id, plain or as
    ``LOC`` and the number. A name that stands for several genes at the first of these that knows
    it is ambiguous, and never guessed; so is one gene's earlier symbol that is another's alias.
    Upper and lower case differ, because they tell human symbols from those of the mouse; only
    ``C1ORF43`` is taken for ``C1orf43``.

    Args:
        names: the merged tables; :meth:`read` makes them of files.
    """

    def __init__(self, names: GeneNames) -> None:
        self._names = names

    @classmethod
    def read(cls, *paths: str | PathLike[str]) -> Self:
        """Read published tables, plain or gzip; what each file is, its first line tells.

        Args:
            paths: at most one HGNC complete set; GENCODE's GTF, or lists without header of
                ``id,symbol`` or ``id,symbol,version,length,biotype``, the current one first and
                older releases after it; tables ``retired<TAB>id``.

        Raises:
            InputError: no file, a file of another kind, a damaged one, or two of HGNC's.
        """
        if not paths:
            raise InputError(
                "a gene table needs a file: HGNC's complete set, GENCODE's GTF, or both"
            )
        annotations: list[list[GeneRecord]] = []
        approved: list[GeneRecord] = []
        successors: dict[str, set[str]] = {}
        for path in paths:
            begin = first_line(path, comment="#")
            if begin.startswith(hgnc.HEADER):
                if approved:
                    raise InputError(f"{path} is a second HGNC table: give one, the newest")
                approved = hgnc.read_hgnc(path)
            elif begin == retired.HEADER:
                for old, new in retired.read_retired(path).items():
                    successors.setdefault(old, set()).update(new)
            elif begin.count("\t") == gencode.GTF_COLUMNS - 1:
                annotations.append(gencode.read_gtf(path))
            elif begin.count(",") + 1 in gencode.LIST_COLUMNS and "\t" not in begin:
                annotations.append(gencode.read_gene_list(path))
            else:
                raise InputError(
                    f"{path} is not a table of genes: it begins with {begin[:40]!r}; "
                    "give HGNC's complete set, GENCODE's GTF, or a list id,symbol "
                    "without header"
                )
        if not annotations and not approved:
            raise InputError("retired ids alone are not a gene table: add HGNC's or GENCODE's")
        return cls(merge(annotations, approved, successors))

    @property
    def genes(self) -> Mapping[str, Gene]:
        """Every gene by its Ensembl id; retired ids are not among them."""
        return self._names.genes

    @property
    def approved_symbols(self) -> Sequence[str]:
        """HGNC's approved symbols, those of genes without Ensembl id included."""
        return tuple(self._names.approved)

    def __len__(self) -> int:
        """Number of genes."""
        return len(self._names.genes)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all names: two tables with one digest resolve every name alike."""
        digest = hashlib.sha256()
        for field in fields(self._names):
            digest.update(f"{field.name}\n".encode())
            for name, found in sorted(getattr(self._names, field.name).items()):
                values = sorted(found) if isinstance(found, set) else found
                digest.update(f"{name}\t{values}\n".encode())
        return digest.hexdigest()

    def resolve(self, names: Sequence[str]) -> GeneResolution:
        """Ensembl ids of genes by any of their names."""
        found = [self._resolve(name) for name in names]
        return GeneResolution(tuple(gene for gene, _ in found), tuple(how for _, how in found))

    def resolve_uniprot(self, accessions: Sequence[str]) -> GeneResolution:
        """Ensembl ids of genes by the UniProt accessions of their proteins, isoforms included.

        A protein that several genes make is ambiguous.
        """
        known = self._names.uniprot
        found = [
            _decide(known.get(accession.partition("-")[0], set()), "alias")
            for accession in accessions
        ]
        return GeneResolution(tuple(gene for gene, _ in found), tuple(how for _, how in found))

    def _resolve(self, name: str) -> tuple[str | None, How]:
        names = self._names
        plain = plain_id(name)
        if plain in names.genes:
            return plain, "id"
        if plain in names.retired:
            return _decide(names.retired[plain], "retired")
        if name in names.approved or name in names.annotated:
            return self._by_symbol(name)
        earlier, other = names.previous.get(name, set()), names.aliases.get(name, set())
        if earlier or other:
            return _decide(earlier | other, "previous" if earlier else "alias")
        if frame := _FRAME.fullmatch(name):
            return self._resolve(f"{frame.group(1)}orf{frame.group(2)}")
        number = _NCBI.fullmatch(name)
        return _decide(names.ncbi.get(number.group(1), set()) if number else set(), "ncbi")

    def _by_symbol(self, name: str) -> tuple[str | None, How]:
        """HGNC's word decides among several genes to which GENCODE gives one symbol."""
        annotated = self._names.annotated.get(name, set())
        if name not in self._names.approved:
            return _decide(annotated, "symbol")
        approved = self._names.approved[name]
        if approved is None:
            # The symbol of a gene without Ensembl id: any other gene of that name is another one.
            return (None, "ambiguous") if annotated else (None, "unknown")
        if annotated and approved not in annotated:
            return None, "ambiguous"
        return approved, "symbol"


def _decide(ids: set[str], how: How) -> tuple[str | None, How]:
    """The one gene, or why there is none."""
    if len(ids) == 1:
        return next(iter(ids)), how
    return None, "ambiguous" if ids else "unknown"
