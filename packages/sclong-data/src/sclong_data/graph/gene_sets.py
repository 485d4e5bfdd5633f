"""Sets of genes: pathways as GMT, and plain tables of gene and term."""

import csv
import json
from collections.abc import Iterator
from os import PathLike

from sclong_core.errors import InputError
from sclong_data.graph.annotations import Annotation
from sclong_data.text_files import read_lines

TERM_COLUMNS = ("go_id", "term")
GENE_COLUMNS = ("ensembl_gene_id", "gene_id", "gene", "symbol")
"""Names of the columns of a table of gene and term, the most reliable first."""


def read_gmt(path: str | PathLike[str]) -> Iterator[Annotation]:
    """Gene sets as GMT: name, description, then the genes, by symbol or id, tab separated.

    Weights that follow a gene after a comma, as Enrichr writes them, are skipped.

    Raises:
        InputError: a line has no genes, or two sets have one name.
    """
    names: set[str] = set()
    for number, line in read_lines(path):
        if not line.strip():
            continue
        name, _, *genes = [word.strip() for word in line.split("\t")] + [""]
        genes = [gene.partition(",")[0] for gene in genes if gene]
        if not genes:
            raise InputError(
                f"{path}, line {number}: no genes: expected name, description and genes, tab "
                "separated (GMT)"
            )
        if name in names:
            raise InputError(f"{path}, line {number}: gene set {name!r} is there twice")
        names.add(name)
        for gene in genes:
            yield Annotation(name, (gene,))


def read_gene_term_table(path: str | PathLike[str]) -> Iterator[Annotation]:
    """A comma or tab separated table with a column of terms and one or more of genes.

    The header names them: ``go_id`` or ``term``; ``ensembl_gene_id``, ``gene_id``, ``gene`` or
    ``symbol``.

    Raises:
        InputError: a column is missing, or a row is short.
    """
    lines = read_lines(path)
    header = next(lines, (0, ""))[1]
    separator = "\t" if "\t" in header else ","
    columns = header.split(separator)
    term = next((columns.index(name) for name in TERM_COLUMNS if name in columns), None)
    genes = [columns.index(name) for name in GENE_COLUMNS if name in columns]
    if term is None or not genes:
        raise InputError(
            f"{path}: its header names no column of terms ({', '.join(TERM_COLUMNS)}) or of genes "
            f"({', '.join(GENE_COLUMNS)})"
        )
    for number, line in lines:
        row = next(csv.reader([line], delimiter=separator), [])
        if len(row) != len(columns):
            raise InputError(
                f"{path}, line {number}: {len(row)} columns where the header has {len(columns)}"
            )
        yield Annotation(row[term], tuple(row[gene] for gene in genes if row[gene]))


def read_gene_to_terms(path: str | PathLike[str]) -> Iterator[Annotation]:
    """A JSON object of genes, each with its list of terms.

    Raises:
        InputError: it is not that.
    """
    try:
        content = json.loads("\n".join(line for _, line in read_lines(path)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error})") from error
    if not isinstance(content, dict) or not all(
        isinstance(held, list) for held in content.values()
    ):
        raise InputError(f"{path} must hold an object of genes, each with its list of terms")
    for gene, terms in content.items():
        for term in terms:
            yield Annotation(str(term), (gene,))
