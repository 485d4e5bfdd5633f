"""Gene Ontology annotations of NCBI: ``gene2go``."""

from collections.abc import Collection, Iterator
from os import PathLike

from sclong_core.errors import InputError
from sclong_data.graph.annotations import Annotation
from sclong_data.graph.gaf import HUMAN, NEGATED
from sclong_data.text_files import read_lines

HEADER = "#tax_id\tGeneID\tGO_ID\tEvidence\tQualifier\t"
"""How the file begins."""
_COLUMNS = 8


def read_gene2go(
    path: str | PathLike[str], *, without_evidence: Collection[str] = ()
) -> Iterator[Annotation]:
    """The statements of ``gene2go``, plain or gzip; genes are named by their NCBI ids.

    Args:
        path: the file. It may hold every species, as it is published; only human genes count.
        without_evidence: evidence codes whose statements go out, such as "ND" or "IEA".

    Raises:
        InputError: another header, or a line has another number of columns.
    """
    human = f"{HUMAN}\t"
    for number, line in read_lines(path):
        if number == 1:
            if not line.startswith(HEADER):
                raise InputError(f"{path} is not gene2go: it does not begin with {HEADER!r}")
            continue
        if not line.startswith(human):
            # Most lines of the published file: their statements are made only to be counted.
            yield _OTHER
            continue
        row = line.split("\t")
        if len(row) != _COLUMNS:
            raise InputError(
                f"{path}, line {number}: {len(row)} columns where gene2go has {_COLUMNS}: "
                "fetch it again"
            )
        out = None
        if NEGATED.search(row[4]):
            out = "negated (NOT)"
        elif row[3] in without_evidence:
            out = f"evidence {row[3]}"
        yield Annotation(row[2], (row[1],), None, out)


_OTHER = Annotation("", (), None, "another species")
