"""The genes a model knows, in the order of its positions."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError
from sclong_core.files import atomic_file

_HEADER = "gene_id\tsymbol"
_VERSION = re.compile(r"^(ENS[A-Z]*G\d+)\.\d+$")
_PAR_Y = re.compile(r"^(?P<now>ENSG\d+)(\.\d+)?_PAR_Y$|^ENSGR(?P<before>\d+)(\.\d+)?$")


@dataclass(frozen=True)
class GeneVocabulary:
    """Gene ids in order, with symbols where they are known.

    Args:
        ids: Ensembl gene ids without version (other ids are kept as they are), one a position.
        symbols: gene symbols in the same order; an empty string where none is known.

    Raises:
        InputError: no gene, an empty or repeated id, a tab or line break in a name, or lists of
            different lengths.
    """

    ids: tuple[str, ...]
    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse lists that are not a vocabulary."""
        if not self.ids:
            raise InputError("a vocabulary needs at least one gene")
        if len(self.symbols) != len(self.ids):
            raise InputError(f"vocabulary has {len(self.ids)} ids but {len(self.symbols)} symbols")
        seen: set[str] = set()
        for position, name in enumerate(self.ids):
            if not name or name in seen:
                what = "an empty id" if not name else f"{name} twice"
                raise InputError(
                    f"vocabulary holds {what} (line {position + 1}): list each gene once"
                )
            seen.add(name)
        for name in (*self.ids, *self.symbols):
            if not name.isprintable():
                raise InputError(f"vocabulary holds {name!r}: names must be printable text")

    @classmethod
    def from_ids(cls, ids: Iterable[str], symbols: Iterable[str] | None = None) -> Self:
        """A vocabulary of ids; version suffixes of Ensembl ids are removed."""
        names = tuple(without_version(name) for name in ids)
        return cls(names, tuple(symbols) if symbols is not None else ("",) * len(names))

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Read ``vocabulary.tsv``, or a plain list of ids, one a line (the release's format).

        Raises:
            InputError: the file is not text or not a vocabulary.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a gene list: it is not UTF-8 text") from error
        rows = [line.split("\t") for line in lines if line.strip()]
        if lines and lines[0] == _HEADER:
            rows = rows[1:]
        if any(len(row) > 2 for row in rows):
            raise InputError(
                f"{path} is not a gene list: expected '{_HEADER!r}' or one id per line"
            )
        return cls.from_ids(
            (row[0].strip() for row in rows),
            (row[1].strip() if len(row) == 2 else "" for row in rows),
        )

    def write(self, path: str | PathLike[str]) -> None:
        """Write ``vocabulary.tsv``: a header, then one gene a line."""
        lines = [
            _HEADER,
            *(f"{name}\t{symbol}" for name, symbol in zip(self.ids, self.symbols, strict=True)),
        ]
        with atomic_file(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def __len__(self) -> int:
        """Number of genes."""
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the ids in order: two vocabularies with one digest share their positions."""
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()

    def lookup(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Positions of genes given by id, id with version, or symbol; -1 where unknown.

        The id of a copy on chromosome Y (``ENSG00000182378.15_PAR_Y``) is that of its gene.

        A symbol that stands for several genes of the vocabulary is unknown: it is never guessed.
        """
        found = (self._position(name) for name in map(str, names))
        return np.fromiter(found, dtype=np.int64, count=len(names))

    def holds_symbol(self, name: str) -> bool:
        """Whether a name is the symbol of one or of several genes of the vocabulary."""
        return name in self._by_symbol

    def _position(self, name: str) -> int:
        for key in (without_version(name), plain_id(name)):
            if (position := self._by_id.get(key)) is not None:
                return position
        return self._by_symbol.get(name, -1)

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.ids)}

    @cached_property
    def _by_symbol(self) -> dict[str, int]:
        positions: dict[str, int] = {}
        for position, symbol in enumerate(self.symbols):
            if symbol:
                positions[symbol] = -1 if symbol in positions else position
        return positions


def without_version(name: str) -> str:
    """An Ensembl gene id without its version (``ENSG00000141510.17``); other names unchanged."""
    match = _VERSION.match(name)
    return match.group(1) if match else name


def plain_id(name: str) -> str:
    """An Ensembl gene id without its version and without the marks of its copy on chromosome Y.

    Genes of the pseudoautosomal regions have one id. GENCODE writes the copy on Y as
    ``ENSG00000182378.15_PAR_Y``, and wrote it as ``ENSGR0000182378.15``. Other names are unchanged.
    """
    match = _PAR_Y.match(name)
    if match is None:
        return without_version(name)
    return match["now"] or f"ENSG0{match['before']}"


def is_copy_on_y(name: str) -> bool:
    """Whether an Ensembl id is that of a gene's copy on chromosome Y."""
    return _PAR_Y.match(name) is not None
