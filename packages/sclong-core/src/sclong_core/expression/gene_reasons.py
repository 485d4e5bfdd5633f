"""Why names of genes may not be those of a vocabulary."""

import re
from collections.abc import Sequence

from sclong_core.vocabulary import GeneVocabulary

_SAMPLE = 2_000
_HUMAN_ID = re.compile(r"ENSG\d{5,}(\.\d+)?")
_PATTERNS = (
    (
        r"ENSMUSG\d+(\.\d+)?",
        "they are mouse Ensembl ids and the model is human: map them to human orthologs first",
    ),
    (
        r"ENS(?!G\d)[A-Z]*G\d+(\.\d+)?",
        "they are Ensembl ids of another species: map them to human orthologs first",
    ),
    (
        r"ENS[A-Z]*[TP]\d+(\.\d+)?",
        "they are Ensembl transcripts or proteins: sum them by gene and name them by gene id",
    ),
    (
        r"\d+",
        "they are numbers: for NCBI (Entrez) ids add a column of Ensembl ids, else names were lost",
    ),
    (
        r"(chr)?[0-9XYMT]{1,2}[:_-]\d+[-_]\d+",
        "they are regions of the genome (ATAC peaks), not genes: give gene expression",
    ),
    (r".+_at", "they are probes of a microarray: map them to genes first"),
    (
        r"[A-Z][a-z0-9]*[a-z][a-zA-Z0-9.-]*|[0-9]+[A-Za-z0-9]+Rik",
        "they look like mouse symbols and the model is human: map them to human orthologs first",
    ),
)
_SYMBOL = re.compile(r"[A-Z][A-Z0-9orf.-]*")


def likely_reason(names: Sequence[str], vocabulary: GeneVocabulary) -> str | None:
    """The likely reason, with what to do, why most of ``names`` are unknown; None if no idea.

    Args:
        names: genes of the data that were not found.
        vocabulary: genes of the model.
    """
    sample = [name for name in names[:_SAMPLE] if name]
    if not sample:
        return "they have no names there: choose another gene column"
    for pattern, reason in _PATTERNS:
        if _most(re.compile(pattern), sample):
            return reason
    if _most(_HUMAN_ID, sample) and not any(map(_HUMAN_ID.fullmatch, vocabulary.ids[:_SAMPLE])):
        return "they are Ensembl ids and the model's genes are not: choose a column of symbols"
    if _most(_SYMBOL, sample) and not any(vocabulary.symbols) and not _most(_HUMAN_ID, sample):
        return (
            "they look like symbols and this checkpoint only knows ids: choose a column of "
            "Ensembl ids, or add symbols to the checkpoint with `sclong convert --symbols`"
        )
    return None


def _most(pattern: re.Pattern[str], names: Sequence[str]) -> bool:
    """Whether more than half of the names have a form."""
    return sum(pattern.fullmatch(name) is not None for name in names) > len(names) / 2
