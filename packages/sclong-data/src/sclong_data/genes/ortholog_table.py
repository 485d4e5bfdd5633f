"""The table of mouse genes that sclong-core ships, built from an export of Ensembl BioMart.

``python -m sclong_data.genes.ortholog_table mouse_to_human.csv mouse_genes.tsv.xz``
"""

import argparse
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression.orthologs import HEADER
from sclong_core.files import atomic_file
from sclong_data.genes.name_table import packed

_COLUMNS = ("Gene stable ID", "Gene name", "Human gene stable ID", "Human homology type")
_ONE_TO_ONE = "ortholog_one2one"


def ortholog_table(biomart: str | PathLike[str]) -> bytes:
    """The table as ``xz``: mouse id, mouse symbol and human id of each one-to-one pair.

    Args:
        biomart: CSV of mouse genes with the columns "Gene stable ID", "Gene name", "Human gene
            stable ID" and "Human homology type".

    Raises:
        InputError: a column is missing, or a gene is in two pairs.
    """
    table = pd.read_csv(biomart, dtype=str, keep_default_na=False)
    if absent := [name for name in _COLUMNS if name not in table]:
        raise InputError(f"{biomart} lacks the column {absent[0]!r}: export it from BioMart")
    chosen = table[table[_COLUMNS[3]] == _ONE_TO_ONE][list(_COLUMNS[:3])].drop_duplicates()
    for column in (_COLUMNS[0], _COLUMNS[2]):
        if (twice := chosen[column][chosen[column].duplicated()]).size:
            raise InputError(f"{biomart}: {twice.iloc[0]} is in several one-to-one pairs")
    lines = sorted("\t".join(row) for row in chosen.itertuples(index=False))
    return packed(HEADER, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("biomart", type=Path, help="CSV of mouse genes and their human orthologs")
    parser.add_argument("output", type=Path, help="table to write, .tsv.xz")
    options = parser.parse_args(arguments)
    with atomic_file(options.output) as temporary:
        temporary.write_bytes(ortholog_table(options.biomart))


if __name__ == "__main__":
    main()
