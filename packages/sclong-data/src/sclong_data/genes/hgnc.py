"""The HGNC complete set: approved symbols, earlier and other names, and ids elsewhere."""

import csv
from os import PathLike

from sclong_core.errors import InputError
from sclong_data.genes.records import PROTEIN_CODING, GeneRecord, human_id
from sclong_data.text_files import read_lines

HEADER = "hgnc_id\tsymbol\t"
"""How the file begins."""
_NEEDED = (
    "symbol",
    "locus_group",
    "locus_type",
    "status",
    "alias_symbol",
    "prev_symbol",
    "entrez_id",
    "ensembl_gene_id",
    "uniprot_ids",
)
_PROTEIN_CODING_GROUP = "protein-coding gene"


def read_hgnc(path: str | PathLike[str]) -> list[GeneRecord]:
    """The approved genes of ``hgnc_complete_set.txt``; withdrawn entries are left out.

    Raises:
        InputError: a column is missing, a row is short, a symbol is there twice, or an Ensembl id
            is not human.
    """
    lines = read_lines(path)
    header = next(lines, (0, ""))[1].split("\t")
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise InputError(
            f"{path} is not the HGNC complete set: its header lacks {', '.join(missing)}"
        )
    places = [header.index(name) for name in _NEEDED]
    found: dict[str, GeneRecord] = {}
    for number, line in lines:
        if not line:
            continue
        row = next(csv.reader([line], delimiter="\t"))
        if len(row) <= max(places):
            raise InputError(
                f"{path}, line {number}: {len(row)} columns where the header has {len(header)}: "
                "fetch it again"
            )
        values = dict(zip(_NEEDED, (row[place] for place in places), strict=True))
        if values["status"] != "Approved":
            continue
        record = _record(values, f"{path}, line {number}")
        if record.symbol in found:
            raise InputError(f"{path}, line {number}: symbol {record.symbol!r} is there twice")
        found[record.symbol] = record
    if not found:
        raise InputError(f"{path} holds no approved gene: fetch it again")
    return list(found.values())


def _record(values: dict[str, str], where: str) -> GeneRecord:
    ensembl = values["ensembl_gene_id"].strip()
    coding = values["locus_group"] == _PROTEIN_CODING_GROUP
    return GeneRecord(
        id=human_id(ensembl, where) if ensembl else None,
        symbol=values["symbol"].strip(),
        biotype=PROTEIN_CODING if coding else values["locus_type"],
        previous=_names(values["prev_symbol"]),
        aliases=_names(values["alias_symbol"]),
        ncbi=values["entrez_id"].strip() or None,
        uniprot=_names(values["uniprot_ids"]),
    )


def _names(cell: str) -> tuple[str, ...]:
    """The names of a cell that holds several."""
    return tuple(name.strip() for name in cell.split("|") if name.strip())
