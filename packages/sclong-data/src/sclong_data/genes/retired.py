"""A table of retired Ensembl gene ids and what became of them."""

from os import PathLike

from sclong_core.errors import InputError
from sclong_data.genes.records import human_id
from sclong_data.text_files import read_lines

HEADER = "retired\tid"
"""How the file begins; one retired id and its successor a line follow."""
_FLAG = "-"


def read_retired(path: str | PathLike[str]) -> dict[str, set[str]]:
    """The successors of each retired id. "-" stands for none: the gene no longer exists.

    A retired id with several successors was split, and is never mapped.

    Raises:
        InputError: a row has not two columns, or an id is not human.
    """
    found: dict[str, set[str]] = {}
    for number, line in read_lines(path):
        if number == 1 or not line:
            continue
        row = line.split("\t")
        if len(row) != 2:
            raise InputError(f"{path}, line {number}: {len(row)} columns: expected {HEADER!r}")
        where = f"{path}, line {number}"
        successors = found.setdefault(human_id(row[0], where), set())
        if row[1] != _FLAG:
            successors.add(human_id(row[1], where))
    return found
