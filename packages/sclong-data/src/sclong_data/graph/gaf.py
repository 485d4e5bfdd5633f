"""Gene Ontology annotations as GAF 2.x, such as ``goa_human.gaf``."""

import re
from collections.abc import Collection, Iterator
from os import PathLike

from sclong_core.errors import InputError
from sclong_data.graph.annotations import Annotation
from sclong_data.text_files import read_lines

HEADER = "!gaf-version:"
"""How the file begins."""
_COLUMNS = (15, 16, 17)
"""Of GAF 2.x; publishers leave the last two out."""
HUMAN = "9606"
NEGATED = re.compile(r"(?:^|[|\s])NOT(?:$|[|\s])")
"""In the qualifiers of a statement that a gene does not have a term."""


def read_gaf(
    path: str | PathLike[str], *, without_evidence: Collection[str] = ()
) -> Iterator[Annotation]:
    """The statements of a GAF 2.x file, plain or gzip.

    Args:
        path: the file.
        without_evidence: evidence codes whose statements go out, such as "ND" or "IEA".

    Raises:
        InputError: another version of GAF, or a line has another number of columns.
    """
    for number, line in read_lines(path):
        if line.startswith(HEADER):
            version = line.removeprefix(HEADER).strip()
            if not version.startswith("2."):
                raise InputError(f"{path} is GAF {version}: give GAF 2.0, 2.1 or 2.2")
        if not line or line.startswith("!"):
            continue
        row = line.split("\t")
        if len(row) not in _COLUMNS:
            raise InputError(f"{path}, line {number}: {len(row)} columns where GAF 2 has 15 to 17")
        out = None
        if NEGATED.search(row[3]):
            out = "negated (NOT)"
        elif row[12].split("|")[0].removeprefix("taxon:") != HUMAN:
            out = "another species"
        elif row[6] in without_evidence:
            out = f"evidence {row[6]}"
        yield Annotation(row[4], (row[2],), row[1] if row[0] == "UniProtKB" else None, out)
