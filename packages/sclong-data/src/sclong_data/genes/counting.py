"""How many non-zero values each gene has, over files of cells or as counted before."""

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression import open_cells
from sclong_core.expression.features import types_as_they_are
from sclong_core.expression.genes import gene_names_in
from sclong_core.expression.rows import canonical, cells_at_once
from sclong_data.genes.table import GeneTable
from sclong_data.text_files import read_lines


def count_nonzeros(paths: Sequence[str | PathLike[str]], table: GeneTable) -> Counter[str]:
    """In how many cells of the files each gene is not zero.

    Several columns of one gene in a file count once a cell. Of the columns that name genes, the one
    with most genes of the table is taken.

    Args:
        paths: files of cells as :func:`sclong_core.expression.open_cells` reads them.
        table: names of genes.

    Raises:
        InputError: a file cannot be read, or names no gene of the table.
    """
    counts: Counter[str] = Counter()
    for path in paths:
        with types_as_they_are(), open_cells(Path(path)) as source:
            candidates = [table.resolve(names).ids for _, names in gene_names_in(source.var)]
            genes = max(candidates, key=lambda ids: len(set(ids) - {None}))
            known = [column for column, gene in enumerate(genes) if gene is not None]
            if not known:
                raise InputError(f"{path} names no gene of the gene table: is it human?")
            names = sorted({gene for gene in genes if gene is not None})
            place = {gene: position for position, gene in enumerate(names)}
            to_gene = sparse.csr_array(
                (
                    np.ones(len(known), dtype=np.int32),
                    (known, [place[str(genes[column])] for column in known]),
                ),
                shape=(len(genes), len(names)),
            )
            found = np.zeros(len(names), dtype=np.int64)
            step = cells_at_once(len(genes))
            for start in range(0, source.n_cells, step):
                block = canonical(source.read_rows(start, min(start + step, source.n_cells)))
                expressed = sparse.csr_array(block).astype(bool).astype(np.int32)
                found += ((expressed @ to_gene) > 0).sum(axis=0)
            counts.update(dict(zip(names, found.tolist(), strict=True)))
    return counts


def read_counts(path: str | PathLike[str]) -> Counter[str]:
    """Counts as a table of two columns, gene and number, tab or comma separated.

    A first line without a number in column 2 is a header. Counts of a gene that occurs twice
    are refused.

    Raises:
        InputError: a line is not a gene and count, or a gene is there twice.
    """
    counts: Counter[str] = Counter()
    for number, line in read_lines(path):
        row = line.split("\t" if "\t" in line else ",")
        if number == 1 and len(row) == 2 and not row[1].strip().isdecimal():
            continue
        if len(row) != 2 or not row[1].strip().isdecimal():
            raise InputError(f"{path}, line {number}: {line[:60]!r} is not a gene and a count")
        if row[0] in counts:
            raise InputError(f"{path}, line {number}: gene {row[0]!r} is there twice")
        counts[row[0]] = int(row[1])
    if not counts:
        raise InputError(f"{path} holds no counts")
    return counts
