"""Gene2vec: vectors of genes from their co-expression, brought into the order of a vocabulary."""

import hashlib
from dataclasses import dataclass
from os import PathLike
from typing import Literal

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import atomic_file
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.mapping import gene_positions
from sclong_data.genes.table import HOWS, GeneTable
from sclong_data.text_files import read_lines

DIMENSIONS = 200
"""Of the published vectors, and of the model's gene embeddings."""
NOISE = 0.1
"""Of the vectors of genes without one, in standard deviations of each dimension."""
Missing = Literal["mean", "zeros"]


@dataclass(frozen=True)
class GeneVectors:
    """Vectors as a file has them."""

    names: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    """``(names, dimensions)``"""


@dataclass(frozen=True)
class AlignedVectors:
    """One vector for each gene of a vocabulary."""

    vectors: npt.NDArray[np.float32]
    """``(genes, dimensions)``"""
    known: npt.NDArray[np.bool_]
    """``(genes,)``: whether the vector is the file's; the others were filled in."""
    names: int
    """Number of vectors in the file."""
    unused: tuple[str, ...]
    """Names in the file that are not genes of the vocabulary, or ambiguous."""
    repeated: tuple[str, ...]
    """Names of genes whose vector was taken by a better name."""

    def write(self, path: str | PathLike[str]) -> None:
        """Write the vectors as ``.npy``."""
        with atomic_file(path) as temporary, temporary.open("wb") as handle:
            np.save(handle, self.vectors, allow_pickle=False)


def read_gene2vec(
    path: str | PathLike[str],
    vocabulary: GeneVocabulary,
    table: GeneTable | None = None,
    *,
    dimensions: int = DIMENSIONS,
    missing: Missing = "mean",
    noise: float = NOISE,
    seed: int = 0,
) -> AlignedVectors:
    """Read vectors and give one to each gene of a vocabulary.

    Of several names of one gene, an id comes before a symbol, a symbol before an earlier one, and
    that before an alias. Genes without a vector get the mean of the genes that have one, plus
    normal noise drawn from the seed and the gene's id alone; or zeros.

    Args:
        path: text, one gene a line: its name and ``dimensions`` numbers, with spaces or tabs
            between; a first line of the number of genes and of dimensions, as word2vec writes it,
            may be there. Plain or gzip.
        vocabulary: genes in order.
        table: names of genes; without it the vocabulary's own ids and symbols are known.
        dimensions: numbers a gene.
        missing: what genes without a vector get.
        noise: in standard deviations of each dimension over the genes that have a vector.
        seed: of the noise.

    Raises:
        InputError: the file is damaged or no file of vectors, or has none for these genes.
        ConfigError: ``missing``, ``noise`` or ``seed`` is not possible.
    """
    if missing not in ("mean", "zeros") or not 0 <= noise < np.inf or seed < 0:
        raise ConfigError(
            "missing must be mean or zeros, noise and seed 0 or more; not "
            f"{missing!r}, {noise} and {seed}"
        )
    given = read_vectors(path, dimensions=dimensions)
    positions, how = gene_positions(given.names, vocabulary, table)
    best: dict[int, tuple[int, str, int]] = {}
    repeated: list[str] = []
    for row, (name, position) in enumerate(zip(given.names, positions.tolist(), strict=True)):
        if position < 0:
            continue
        candidate = (HOWS.index(how[row]), name, row)
        first = best.setdefault(position, candidate)
        if first != candidate:
            repeated.append(max(first, candidate)[1])
            best[position] = min(first, candidate)
    if not best:
        raise InputError(f"{path} has no vector for any of the {len(vocabulary):,} genes")
    vectors = np.zeros((len(vocabulary), dimensions), dtype=np.float32)
    known = np.zeros(len(vocabulary), dtype=bool)
    for position, (_, _, row) in best.items():
        vectors[position], known[position] = given.vectors[row], True
    if missing == "mean":
        _fill(vectors, known, vocabulary, noise=noise, seed=seed)
    unused = (name for name, at in zip(given.names, positions.tolist(), strict=True) if at < 0)
    return AlignedVectors(vectors, known, len(given.names), tuple(unused), tuple(repeated))


def read_vectors(path: str | PathLike[str], *, dimensions: int = DIMENSIONS) -> GeneVectors:
    """Read a text file of vectors as it is.

    Raises:
        InputError: a line has another number of numbers, one that is not a finite number, or a
            name that was there before; or the first line promises another size.
    """
    names: dict[str, None] = {}
    rows: list[npt.NDArray[np.float32]] = []
    promised: tuple[int, int] | None = None
    for number, line in read_lines(path):
        name, *words = line.split()[: dimensions + 2] or [""]
        if number == 1 and len(words) == 1 and name.isdecimal() and words[0].isdecimal():
            promised = int(name), int(words[0])
            if promised[1] != dimensions:
                raise InputError(f"{path} has vectors of {promised[1]}, not {dimensions} numbers")
            continue
        if not name:
            continue
        where = f"{path}, line {number}"
        if len(words) != dimensions:
            raise InputError(
                f"{where}: gene {name!r} has {len(line.split()) - 1} numbers, not {dimensions}"
            )
        try:
            row = np.array(words, dtype=np.float32)
        except ValueError as error:
            raise InputError(f"{where}: gene {name!r} has text among its numbers") from error
        if not np.isfinite(row).all():
            raise InputError(f"{where}: gene {name!r} has a number that is NaN or infinite")
        if name in names:
            raise InputError(f"{where}: gene {name!r} occurs twice")
        names[name] = None
        rows.append(row)
    if not rows or (promised is not None and promised[0] != len(rows)):
        expected = "some" if promised is None else f"{promised[0]:,}"
        raise InputError(f"{path} has {len(rows):,} vectors where {expected} were expected")
    return GeneVectors(tuple(names), np.stack(rows))


def _fill(
    vectors: npt.NDArray[np.float32],
    known: npt.NDArray[np.bool_],
    vocabulary: GeneVocabulary,
    *,
    noise: float,
    seed: int,
) -> None:
    """Give the genes without a vector the mean and noise of their own."""
    mean = vectors[known].mean(axis=0, dtype=np.float64)
    spread = noise * vectors[known].std(axis=0, dtype=np.float64)
    for position in np.flatnonzero(~known):
        # The id, and not the position, so that a gene has one vector in every vocabulary.
        key = hashlib.blake2b(vocabulary.ids[position].encode(), digest_size=8).digest()
        generator = np.random.default_rng([seed, int.from_bytes(key)])
        vectors[position] = mean + spread * generator.standard_normal(mean.size)
