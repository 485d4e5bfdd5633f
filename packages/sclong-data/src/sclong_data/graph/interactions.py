"""Interactions of proteins: STRING's ``9606.protein.links``, and what names its proteins."""

import re
from collections import defaultdict
from collections.abc import Sequence
from os import PathLike

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError
from sclong_core.vocabulary import plain_id
from sclong_data.genes.table import GeneTable
from sclong_data.graph.similarity import PairSimilarity
from sclong_data.text_files import read_lines

LINKS_HEADER = "protein1 protein2 "
"""How a file of links begins; ``combined_score`` is its last column."""
_ALIASES = "#string_protein_id\talias\tsource"
_INFO = "#string_protein_id\tpreferred_name\t"
_SCORE = "combined_score"
_HUMAN_GENE = re.compile(r"ENSG\d{11}(\.\d+)?")
_HUMAN_PROTEIN = "9606."
_NUMBER = re.compile(r"[0-9]{1,4}")
_LARGEST = 1000
"""Scores are probabilities in thousandths."""
MINIMUM_SCORE = 700
"""STRING's "high confidence"."""


def read_string(
    links: str | PathLike[str],
    names: str | PathLike[str],
    genes: Sequence[str],
    table: GeneTable | None = None,
    *,
    minimum_score: int = MINIMUM_SCORE,
) -> PairSimilarity:
    """Interactions between genes of a vocabulary; the score, 0 to 1, is the similarity.

    Args:
        links: ``9606.protein.links`` (or ``physical.links``, or ``links.detailed``).
        names: ``9606.protein.aliases``, which holds Ensembl gene ids, or ``9606.protein.info``,
            whose symbols need a gene table.
        genes: the genes in order.
        table: names of genes.
        minimum_score: links with a lower ``combined_score``, of 1,000, are left out.

    Raises:
        InputError: a file has another header or is damaged, proteins are not human, or nothing
            joins two genes of the vocabulary.
    """
    positions = {gene: position for position, gene in enumerate(genes)}
    of_protein = {
        protein: positions[gene]
        for protein, gene in read_proteins(names, table).items()
        if gene in positions
    }
    lines = read_lines(links)
    header = next(lines, (0, ""))[1]
    if not header.startswith(LINKS_HEADER) or header.split(" ")[-1] != _SCORE:
        raise InputError(
            f"{links} is not a file of STRING links: expected 'protein1 protein2 {_SCORE}'"
        )
    pairs: list[tuple[int, int]] = []
    scores: list[int] = []
    for number, line in lines:
        one, _, rest = line.partition(" ")
        two, _, rest = rest.partition(" ")
        score = rest.rpartition(" ")[2]
        human = one.startswith(_HUMAN_PROTEIN)
        if not (human and _NUMBER.fullmatch(score) and int(score) <= _LARGEST):
            raise InputError(
                f"{links}, line {number}: {line[:60]!r} is not a link of two human "
                f"proteins with a score up to {_LARGEST}"
            )
        if int(score) >= max(minimum_score, 1) and one in of_protein and two in of_protein:
            pairs.append((of_protein[one], of_protein[two]))
            scores.append(int(score))
    joined: npt.NDArray[np.int64] = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return PairSimilarity(joined, np.array(scores, dtype=np.float64) / _LARGEST, len(genes))


def read_proteins(names: str | PathLike[str], table: GeneTable | None = None) -> dict[str, str]:
    """The gene of each protein of STRING; proteins of several genes, or of none, are left out.

    Raises:
        InputError: another header, no gene table where one is needed, or no protein is left.
    """
    lines = read_lines(names)
    header = next(lines, (0, ""))[1]
    found: dict[str, set[str]] = defaultdict(set)
    if header.startswith(_ALIASES):
        for _, line in lines:
            protein, _, rest = line.partition("\t")
            alias = rest.partition("\t")[0]
            if _HUMAN_GENE.fullmatch(alias):
                found[protein].add(plain_id(alias))
    elif header.startswith(_INFO):
        if table is None:
            raise InputError(f"{names} names proteins by symbol: give a gene table with it")
        rows = [line.split("\t", 2)[:2] for _, line in lines if line]
        symbols = [row[1] if len(row) > 1 else "" for row in rows]
        for row, gene in zip(rows, table.resolve(symbols).ids, strict=True):
            if gene is not None:
                found[row[0]].add(gene)
    else:
        raise InputError(
            f"{names} does not name STRING's proteins: give 9606.protein.aliases or "
            "9606.protein.info"
        )
    proteins = {protein: genes for protein, genes in found.items() if len(genes) == 1}
    if not proteins:
        raise InputError(f"{names} names no protein of a known human gene")
    return {protein: next(iter(genes)) for protein, genes in proteins.items()}
