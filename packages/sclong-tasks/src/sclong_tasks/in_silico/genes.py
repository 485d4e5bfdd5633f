"""Which genes are changed, and which are like them."""

import difflib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import GeneMatch
from sclong_core.expression.orthologs import MOUSE, Organism, mouse_orthologs
from sclong_core.human_genes import human_genes
from sclong_core.vocabulary import GeneVocabulary

_LOG = logging.getLogger("sclong")
Kind = Literal["delete", "overexpress"]
KINDS: tuple[Kind, ...] = ("delete", "overexpress")
ALL = "all"
"""Stands for every gene that the model reads and a cell expresses."""
_LISTS = (".txt", ".tsv", ".csv", ".list")
FEWEST = 19
"""Like genes that a p-value of .05 takes."""


@dataclass(frozen=True)
class Change:
    """One or several genes that are changed at once."""

    name: str
    """As it was asked for: genes joined by "+"."""
    kind: Kind
    positions: tuple[int, ...]
    """Of the genes, in the vocabulary."""

    @property
    def key(self) -> tuple[Kind, tuple[int, ...]]:
        """The same for two changes that do the same, however they were asked for."""
        return self.kind, tuple(sorted(self.positions))


def listed_genes(asked: Iterable[str] | str) -> list[str]:
    """Names of genes, each once; the name of a text file stands for the genes on its lines.

    Raises:
        InputError: a file cannot be read, or holds nothing.
    """
    found: list[str] = []
    for word in [asked] if isinstance(asked, str) else asked:
        path = Path(word)
        if not _is_file(path):
            found += _names(word)
            continue
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a list of genes: write one a line") from error
        lines = [line.split("\t")[0] for line in lines if not line.startswith("#")]
        names = [name for line in lines for name in _names(line)]
        if not names:
            raise InputError(f"{path} holds no gene: write one a line")
        _LOG.info("%s: a file of %s genes, not the name of one", path, f"{len(names):,}")
        found += names
    return list(dict.fromkeys(found))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name that a file can have
        return False


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


class GeneNames:
    """Finds genes of the data by any of their names.

    Args:
        match: genes of the data in the vocabulary.
        vocabulary: of the model.
        organism: of the data; genes of a mouse are found by their human orthologs.
    """

    def __init__(
        self, match: GeneMatch, vocabulary: GeneVocabulary, organism: Organism = "human"
    ) -> None:
        self._vocabulary = vocabulary
        self._human = mouse_orthologs().human if organism == MOUSE else str
        names = [match.names[column] for column in match.columns]
        self._own = dict(zip(names, match.positions.tolist(), strict=True))
        self._unknown = set(match.unknown)
        self._names = {position: name for name, position in self._own.items()}

    def of(self, position: int) -> str:
        """The symbol of a gene where there is one, else its name in the data."""
        return self._vocabulary.symbols[position] or self._names.get(position, "")

    def change(self, name: str, kind: Kind) -> Change:
        """One change, by names of genes joined by "+".

        Raises:
            InputError: a gene is not in the data, or the model does not know it.
        """
        parts = [name] if name in self._own else name.split("+")
        if not all(part.strip() for part in parts):
            raise InputError(f"{name!r} lacks a gene beside a plus: write A+B")
        positions = tuple(self._position(part.strip()) for part in parts)
        if len(set(positions)) < len(positions):
            raise InputError(f"{name} names one gene twice: name each once")
        return Change(name, kind, positions)

    def _position(self, name: str) -> int:
        if name in self._own:
            return int(self._own[name])
        position: int = self._in_vocabulary(name)
        if position in self._names:
            return position
        if name in self._unknown:
            raise InputError(
                f"the model does not know {name}, which the data holds: a change of it cannot move "
                "a cell. Choose another gene, or a checkpoint whose vocabulary has it"
            )
        if position >= 0:
            raise InputError(
                f"the data has no gene {name}, which the model knows: changing what was not "
                "measured says nothing. Choose a gene of the data"
            )
        if Path(name).suffix.lower() in _LISTS or "/" in name:
            raise InputError(f"{name!r} is neither a file nor a gene: check the name of the list")
        close = difflib.get_close_matches(name.upper(), list(self._own), n=3)
        raise InputError(
            f"{name!r} is not a gene of the data or of the model"
            + (f": is it {' or '.join(close)}?" if close else ": check the name")
        )

    def _in_vocabulary(self, name: str) -> int:
        name = self._human(name) or name
        found = int(self._vocabulary.lookup([name])[0])
        if found < 0 and not self._vocabulary.holds_symbol(name):
            table = human_genes()
            gene = table.by_symbol(name) or table.by_other_name(name)
            found = -1 if gene is None else int(self._vocabulary.lookup([gene])[0])
        return found


class LikeGenes:
    """Genes of like mean expression and detection in the same cells.

    Args:
        mean: ``(genes,)`` expression in these cells.
        detection: ``(genes,)`` share of them that express each.
        usable: ``(genes,)`` those that may stand in for another.
    """

    def __init__(
        self,
        mean: npt.NDArray[np.float64],
        detection: npt.NDArray[np.float64],
        usable: npt.NDArray[np.bool_],
    ) -> None:
        self._places = np.stack([np.log1p(mean), np.arcsin(np.sqrt(detection))], axis=1)
        self._usable = np.flatnonzero(usable & (detection > 0))
        if len(self._usable):
            self._places /= self._places[self._usable].std(0) + 1e-9

    def of(self, change: Change, number: int, without: Sequence[int]) -> list[Change]:
        """The same change of other genes, the most alike first.

        Args:
            change: what they stand in for.
            number: at most so many.
            without: positions that are not taken.

        Raises:
            InputError: there are too few for a p-value.
        """
        left = self._usable[~np.isin(self._usable, [*without, *change.positions])]
        nearest = []
        for position in change.positions:
            distance = np.square(self._places[left] - self._places[position]).sum(1)
            nearest.append(left[np.argsort(distance, kind="stable")])
        # Members of a joint change take turns: none may be another's.
        sets = [tuple(map(int, genes)) for genes in self._joined(nearest)]
        found = [Change("", change.kind, genes) for genes in sets[:number]]
        if len(found) < FEWEST:
            raise InputError(
                f"{change.name}: {len(found)} genes that these cells express can stand in for it, "
                f"and a null needs {FEWEST}: give data with more genes that the model reads"
            )
        return found

    @staticmethod
    def _joined(nearest: list[npt.NDArray[np.int64]]) -> list[tuple[int, ...]]:
        taken: set[int] = set()
        found: list[tuple[int, ...]] = []
        places = [iter(genes.tolist()) for genes in nearest]
        while True:
            chosen: list[int] = []
            for genes in places:
                one = next((gene for gene in genes if gene not in taken), None)
                if one is None:
                    return found
                taken.add(one)
                chosen.append(one)
            found.append(tuple(chosen))


def require_share(name: str, value: float) -> None:
    """Refuse a share outside 0 to 1.

    Raises:
        ConfigError: it is not above 0 and at most 1.
    """
    if not 0 < value <= 1:
        raise ConfigError(f"{name} must be above 0 and at most 1, not {value}")
