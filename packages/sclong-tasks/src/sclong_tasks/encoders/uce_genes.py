"""Genes of UCE: proteins that they stand for, and their places on chromosomes, from its files.

Nothing in these files but their order tells which row of the token matrix a gene is, and the number
of a chromosome counts the chromosomes of all species: a file that was sorted, cut or filtered would
give every gene the vector of another. What shows it is compared in full.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sclong_core.errors import CheckpointError
from sclong_tasks.encoders.published_files import find_file, read_dictionary, read_tensors
from sclong_tasks.encoders.published_model import Ints

_LOG = logging.getLogger("sclong")
_EMBEDDINGS: Mapping[str, str] = {
    "human": "Homo_sapiens*",
    "mouse": "Mus_musculus*",
    "frog": "Xenopus_tropicalis*",
    "zebrafish": "Danio_rerio*",
    "mouse_lemur": "Microcebus_murinus*",
    "pig": "Sus_scrofa*",
    "macaca_fascicularis": "Macaca_fascicularis*",
    "macaca_mulatta": "Macaca_mulatta*",
}
"""Files of protein embeddings, by species."""
SAMPLE, CHROMOSOMES = 1024, 1895
"""Genes drawn for a cell, and chromosomes of all species, as published."""
_COLUMNS = ("gene_symbol", "chromosome", "start", "species")
_TITLE = "UCE"


@dataclass(frozen=True)
class ProteinGenes:
    """Genes of a species that have a protein embedding and a place on a chromosome."""

    rows: Mapping[str, int]
    """Row of the token matrix by symbol in capitals."""
    places: Mapping[str, tuple[int, int]]
    """Code of the chromosome and start of the gene, by symbol in capitals."""
    twice: frozenset[str]
    """Symbols in capitals with several places."""
    chromosome_rows: int
    """Row of the token matrix of the chromosome with code 0."""

    @cached_property
    def symbols(self) -> Mapping[int, str]:
        """Symbol in capitals by row."""
        return {row: symbol for symbol, row in self.rows.items()}

    @cached_property
    def chromosomes(self) -> int:
        """Chromosomes that hold one of these genes."""
        return len({code for name, (code, _) in self.places.items() if name in self.rows})

    def places_of(self, tokens: Ints) -> Ints:
        """``(genes, 2)`` code of the chromosome and start of genes, by their rows.

        Raises:
            CheckpointError: the table of places has no row for one of them, or several.
        """
        upper = [self.symbols[token] for token in tokens.tolist()]
        lacking = [name for name in upper if name not in self.places]
        if lacking:
            raise CheckpointError(
                f"{len(lacking):,} genes with a protein have no row in species_chrom.csv (the "
                f"first is {lacking[0]}): the file is not the one of these protein embeddings"
            )
        twice = [name for name in upper if name in self.twice]
        if twice:
            raise CheckpointError(
                f"species_chrom.csv has several rows for {len(twice):,} genes with a protein (the "
                f"first is {twice[0]}): leave one of them there"
            )
        return np.array([self.places[name] for name in upper], dtype=np.int64).reshape(-1, 2)


def read_genes(
    folder: Path, species: str, matrix: Tensor, first: int, *, published: bool
) -> tuple[ProteinGenes, list[Path]]:
    """Genes of a species, and the files that tell of them.

    Args:
        folder: that holds the files.
        species: of the cells.
        matrix: ``(rows, width)`` of tokens.
        first: row of the chromosome with code 0.
        published: the sizes are the published ones.

    Raises:
        CheckpointError: a file is missing or damaged, or they do not belong to each other.
    """
    pattern = f"{_EMBEDDINGS.get(species, f'{species}*')}.pt"
    path = find_file(folder, pattern, model=_TITLE, what=f"protein embeddings of {species}")
    offsets_file = find_file(folder, "species_offsets.pkl", model=_TITLE, what="rows of species")
    chromosomes = find_file(folder, "species_chrom.csv", model=_TITLE, what="places of genes")
    offsets = read_dictionary(offsets_file)
    offset = offsets.get(species)
    if type(offset) is not int or offset < 0:
        raise CheckpointError(
            f"{offsets_file} has no species {species!r}: it has {', '.join(map(str, offsets))}"
        )
    proteins = read_tensors(path)
    if not isinstance(proteins, Mapping) or not all(isinstance(one, str) for one in proteins):
        raise CheckpointError(f"{path} must hold vectors of proteins by symbol")
    if offset + len(proteins) > first:
        raise CheckpointError(
            f"{path} has {len(proteins):,} genes from row {offset:,} on, and chromosomes begin "
            f"at row {first:,}: it does not belong to these weights"
        )
    _require_order(path, proteins, matrix[:first], offset)
    rows: dict[str, int] = {}
    for number, symbol in enumerate(proteins):
        rows.setdefault(symbol.upper(), offset + number)
    table = _read_table(chromosomes)
    there = set(table["species"])
    lacking = [name for name in offsets if name not in there]
    if lacking:
        raise CheckpointError(
            f"{chromosomes} has no gene of {lacking[0]}, which {offsets_file.name} has: rows were "
            "removed, and each chromosome would get the number of another; take the published file"
        )
    codes = _codes(table)
    if published and codes.max(initial=-1) + 1 != CHROMOSOMES:
        _LOG.warning(
            "%s: %s has %s chromosomes of all species, and the published weights have rows for %s; "
            "if it is not the published file, chromosomes get the numbers of others",
            _TITLE,
            chromosomes.name,
            f"{codes.max(initial=-1) + 1:,}",
            f"{CHROMOSOMES:,}",
        )
    places, twice = _places(table, codes, species)
    genes = ProteinGenes(rows=rows, places=places, twice=twice, chromosome_rows=first)
    return genes, [path, offsets_file, chromosomes]


def _require_order(path: Path, proteins: Mapping[str, Any], matrix: Tensor, offset: int) -> None:
    """Refuse proteins that are rows of the matrix, but of others than their place tells.

    All of them are compared. Proteins that no row holds are of another version, which is told.
    """
    changed = []
    for place, (symbol, given) in enumerate(proteins.items()):
        vector = torch.as_tensor(given).float()
        if vector.shape != matrix.shape[1:]:
            raise CheckpointError(
                f"{path}: the protein of {symbol} has the shape {tuple(vector.shape)}, and tokens "
                f"have {matrix.shape[1]:,} numbers: it does not belong to these weights"
            )
        row = offset + place  # beyond a matrix that is too short, which its reader refuses
        if row < len(matrix) and not torch.equal(vector, matrix[row]):
            changed.append((place, symbol, vector.numpy().tobytes()))
    if not changed:
        return
    row_of = {row.numpy().tobytes(): number for number, row in enumerate(matrix.float())}
    for place, symbol, content in changed:
        if content in row_of:
            raise CheckpointError(
                f"{path}: the protein of {symbol} is number {place:,} there, which tells row "
                f"{offset + place:,} of the token matrix, and its vector is in row "
                f"{row_of[content]:,}: the file is in another order than the one that the weights "
                "belong to"
            )
    _LOG.warning(
        "%s: %s of the %s proteins in %s have other vectors than the rows of the token matrix that "
        "their places tell (the first is %s); the rows count",
        _TITLE,
        f"{len(changed):,}",
        f"{len(proteins):,}",
        path.name,
        changed[0][1],
    )


def _read_table(path: Path) -> pd.DataFrame:
    """Genes of all species with their places, as text but for the start.

    Raises:
        CheckpointError: it is not such a table, or a row of it is cut off.
    """
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)
        if lacking := [name for name in _COLUMNS if name not in found]:
            raise KeyError(lacking[0])
        starts = pd.to_numeric(found["start"].replace({"": "0", "NA": "0"})).fillna(0)
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path} must be a table with the columns {', '.join(_COLUMNS)} ({reason})"
        ) from error
    cut = found[list(_COLUMNS)].isna().any(axis=1) | (found["species"] == "")
    last = found["species"] == found["species"].iloc[-1:].sum()
    if last.sum() == 1 and found["species"][~last].str.startswith(found["species"].iloc[-1]).any():
        cut |= last  # the file ends within a name
    if cut.any():
        raise CheckpointError(
            f"{path}: line {int(np.flatnonzero(cut)[0]) + 2:,} is not complete: a part of the file "
            "is missing"
        )
    return found.assign(start=starts.astype(np.int64))


def _codes(table: pd.DataFrame) -> Ints:
    """Number of the chromosome of each row, over those of all species, sorted; -1 where missing."""
    known = ~table["chromosome"].isin(["", "NA", "nan", "NaN"])
    joined = (table["species"] + "_" + table["chromosome"]).where(known)
    codes: Ints = pd.Categorical(joined).codes.astype(np.int64)
    return codes


def _places(
    table: pd.DataFrame, codes: Ints, species: str
) -> tuple[dict[str, tuple[int, int]], frozenset[str]]:
    """Chromosome code and start of each gene of a species, and symbols with several rows."""
    chosen = np.flatnonzero(table["species"] == species)
    symbols = table["gene_symbol"].str.upper().to_numpy()[chosen]
    starts = table["start"].to_numpy()[chosen]
    places = {
        symbol: (int(code), int(start))
        for symbol, code, start in zip(symbols, codes[chosen], starts, strict=True)
    }
    return places, frozenset(symbols[pd.Index(symbols).duplicated()].tolist())
