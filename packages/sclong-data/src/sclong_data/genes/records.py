"""What a published table says about one gene."""

import re
from dataclasses import dataclass

from sclong_core.errors import InputError
from sclong_core.vocabulary import plain_id

PROTEIN_CODING = "protein_coding"
_HUMAN = re.compile(r"ENSG\d{11}")


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
