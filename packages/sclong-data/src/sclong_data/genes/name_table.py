"""The table of gene names that sclong-core ships, built from the HGNC complete set.

``python -m sclong_data.genes.name_table hgnc_complete_set.txt.gz human_genes.tsv.xz``
"""

import argparse
import lzma
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from sclong_core.files import atomic_file
from sclong_core.human_genes import HEADER
from sclong_data.genes.hgnc import read_hgnc


def name_table(hgnc: str | PathLike[str]) -> bytes:
    """The table as ``xz``: a line a gene, in the order of ids and symbols.

    Genes without an Ensembl id are there too, so that their symbols are not taken for the aliases
    of other genes.

    Args:
        hgnc: HGNC's complete set, plain or gzip.

    Raises:
        InputError: it is not that.
    """
    lines = sorted(
        "\t".join(
            (record.id or "", record.symbol, "|".join(record.previous), "|".join(record.aliases))
        )
        for record in read_hgnc(hgnc)
    )
    return packed(HEADER, lines)


def packed(header: str, lines: Iterable[str]) -> bytes:
    """A table as ``xz``: the same bytes from the same lines."""
    text = "\n".join([header, *lines]) + "\n"
    return lzma.compress(text.encode("utf-8"), preset=9 | lzma.PRESET_EXTREME)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("hgnc", type=Path, help="HGNC's complete set, plain or gzip")
    parser.add_argument("output", type=Path, help="table to write, .tsv.xz")
    options = parser.parse_args(arguments)
    with atomic_file(options.output) as temporary:
        temporary.write_bytes(name_table(options.hgnc))


if __name__ == "__main__":
    main()
