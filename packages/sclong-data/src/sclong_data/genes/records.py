"""What a published table says about one gene."""

import re
from dataclasses import dataclass

from sclong_core.errors import InputError
from sclong_core.vocabulary import without_version

PROTEIN_CODING = "protein_coding"
_HUMAN = re.compile(r"ENSG\d{11}")
_PAR_Y = "_PAR_Y"
_OLD_PAR_Y = "ENSGR"


@dataclass(frozen=True, slots=True)
class GeneRecord:
    """One gene of one table."""

    id: str | None
    """Ensembl gene id without version; None where the table names none."""
    symbol: str
    """The approved symbol (HGNC), or the name in the annotation (GENCODE); empty where none."""
    biotype: str
    """In GENCODE's words: "protein_coding" and others."""
    previous: tuple[str, ...] = ()
    """Symbols that were approved once."""
    aliases: tuple[str, ...] = ()
    """Other names in use."""
    ncbi: str | None = None
    """NCBI (Entrez) gene id."""
    uniprot: tuple[str, ...] = ()
    """UniProt accessions of its proteins."""


def plain_id(name: str) -> str:
    """An Ensembl gene id without version and without the marks of its copy on chromosome Y.

    Genes of the pseudoautosomal regions have one id. GENCODE writes the copy on Y as
    ``ENSG00000182378.15_PAR_Y``, and wrote it as ``ENSGR0000182378.15``.
    """
    name = without_version(name.removesuffix(_PAR_Y))
    if name.startswith(_OLD_PAR_Y):
        name = without_version("ENSG0" + name.removeprefix(_OLD_PAR_Y))
    return name


def human_id(name: str, where: str) -> str:
    """The plain id of a human gene.

    Raises:
        InputError: it is not one; ``where`` says file and line.
    """
    found = plain_id(name)
    if not _HUMAN.fullmatch(found):
        raise InputError(
            f"{where}: {name!r} is not a human Ensembl gene id (ENSG and 11 digits): "
            "give the table of the human genome"
        )
    return found
