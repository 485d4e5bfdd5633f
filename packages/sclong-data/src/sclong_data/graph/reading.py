"""Files of annotations of any kind, told by how they begin."""

from collections.abc import Collection, Iterator
from os import PathLike

from sclong_core.errors import InputError
from sclong_data.graph import gaf, gene2go, gene_sets
from sclong_data.graph.annotations import Annotation
from sclong_data.text_files import first_line


def read_annotations(
    path: str | PathLike[str], *, without_evidence: Collection[str] = ()
) -> Iterator[Annotation]:
    """The statements of a GAF 2.x, gene2go or GMT file, of a table or a JSON object.

    Args:
        path: the file, plain or gzip.
        without_evidence: evidence codes whose statements go out; only GAF and gene2go have them.

    Raises:
        InputError: the file is damaged, or of no known kind.
    """
    begin = first_line(path)
    columns = set(begin.replace(",", "\t").split("\t"))
    if begin.startswith(gaf.HEADER):
        return gaf.read_gaf(path, without_evidence=without_evidence)
    if begin.startswith("#tax_id"):
        return gene2go.read_gene2go(path, without_evidence=without_evidence)
    if begin.startswith("{"):
        return gene_sets.read_gene_to_terms(path)
    if columns & set(gene_sets.TERM_COLUMNS) and columns & set(gene_sets.GENE_COLUMNS):
        return gene_sets.read_gene_term_table(path)
    if begin.count("\t") >= 2:
        return gene_sets.read_gmt(path)
    raise InputError(
        f"{path} holds no annotations of a known kind: give GAF 2.x (it begins with "
        f"{gaf.HEADER!r}), gene2go, GMT, a table with columns gene_id and go_id, or JSON"
    )
