"""GENCODE's genes: the GTF file, or the lists of id and symbol that others derive from it."""

import csv
import re
from collections.abc import Iterator
from os import PathLike

from sclong_core.errors import InputError
from sclong_core.vocabulary import plain_id
from sclong_data.genes.records import GeneRecord, human_id
from sclong_data.text_files import read_lines

GTF_COLUMNS = 9
LIST_COLUMNS = (2, 5)
"""Of a list without header: id and symbol; or id, symbol, version, length and biotype, which is how
CELLxGENE publishes the genes of its schema."""
_ATTRIBUTE = re.compile(r'(\w+) "([^"]*)"')


def read_gtf(path: str | PathLike[str]) -> list[GeneRecord]:
    """The lines of a GENCODE or Ensembl GTF that describe genes, one record an id.

    Raises:
        InputError: a line is not GTF, a gene has no id, or its id is not human; or there is none.
    """
    return _once(path, _gtf_genes(path))


def read_gene_list(path: str | PathLike[str]) -> list[GeneRecord]:
    """A comma separated list without header: ``id,symbol`` or ``id,symbol,version,length,biotype``.

    Raises:
        InputError: a row has another number of columns, an id is not human or is there twice.
    """
    return _once(path, _listed_genes(path), repeats=False)


def _gtf_genes(path: str | PathLike[str]) -> Iterator[tuple[int, GeneRecord]]:
    for number, line in read_lines(path):
        if not line or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != GTF_COLUMNS:
            raise InputError(
                f"{path}, line {number}: {len(fields)} columns where GTF has {GTF_COLUMNS}: "
                "fetch it again"
            )
        if fields[2] != "gene":
            continue
        said: dict[str, str] = dict(_ATTRIBUTE.findall(fields[8]))
        if "gene_id" not in said:
            raise InputError(f"{path}, line {number}: a gene without gene_id: fetch it again")
        biotype = said.get("gene_type", said.get("gene_biotype", ""))
        yield (
            number,
            _record(said["gene_id"], said.get("gene_name", ""), biotype, f"{path}, line {number}"),
        )


def _listed_genes(path: str | PathLike[str]) -> Iterator[tuple[int, GeneRecord]]:
    for number, line in read_lines(path):
        if not line:
            continue
        row = next(csv.reader([line]))
        if len(row) not in LIST_COLUMNS:
            raise InputError(
                f"{path}, line {number}: {len(row)} columns: expected id,symbol or "
                "id,symbol,version,length,biotype"
            )
        biotype = row[4] if len(row) > 4 else ""
        yield number, _record(row[0], row[1], biotype, f"{path}, line {number}")


def _record(name: str, symbol: str, biotype: str, where: str) -> GeneRecord:
    found = human_id(name, where)
    # Genes without a symbol carry their id in its place.
    return GeneRecord(found, "" if plain_id(symbol) == found else symbol, biotype)


def _once(
    path: str | PathLike[str], genes: Iterator[tuple[int, GeneRecord]], *, repeats: bool = True
) -> list[GeneRecord]:
    """One record an id. In GTF a gene may stand on X and on Y; elsewhere an id twice is a fault."""
    found: dict[str | None, GeneRecord] = {}
    for number, record in genes:
        if record.id in found and not repeats:
            raise InputError(f"{path}, line {number}: {record.id} is there twice: give each once")
        found.setdefault(record.id, record)
    if not found:
        raise InputError(f"{path} holds no gene: fetch it again")
    return list(found.values())
