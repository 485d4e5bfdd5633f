"""The numbers of a corpus: read from its report, and added up over its data sets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.index import CorpusIndex, read_index
from sclong_data.corpus.layout import VOCABULARY
from sclong_data.harmoniser.rows import Row, out_by_reason, read_pairs, read_rows

DUPLICATES = "duplicate"


@dataclass(frozen=True)
class CorpusSummary:
    """What became of all data sets."""

    index: CorpusIndex
    """Of the corpus."""
    vocabulary: GeneVocabulary
    """Its genes."""
    rows: Sequence[Row]
    """One a data set, by their ids."""
    pairs: Sequence[tuple[str, str, int]]
    """Data sets that share cells: whose copy stays, whose is left out, and how many."""

    @classmethod
    def read(cls, corpus: str | PathLike[str]) -> "CorpusSummary":
        """Read the report of a finished corpus.

        Raises:
            InputError: the folder holds no corpus, or its index is damaged.
        """
        folder = Path(corpus)
        index = read_index(folder)
        vocabulary = GeneVocabulary.read(folder / VOCABULARY)
        return cls(index, vocabulary, read_rows(folder), read_pairs(folder))

    @cached_property
    def kept(self) -> Sequence[Row]:
        """Data sets whose cells are in the corpus."""
        return [row for row in self.rows if row["status"] == "kept"]

    @property
    def cells_in(self) -> int:
        """Cells of all data sets that could be read."""
        return sum(int(row["cells"]["in"]) for row in self.rows if row["cells"])

    @cached_property
    def out(self) -> dict[str, int]:
        """Cells that are not in the corpus by reason, most frequent first; duplicates last."""
        reasons = out_by_reason(self.rows)
        ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
        duplicates = sum(row["cells"]["duplicates"] for row in self.kept)
        return {**ordered, DUPLICATES: duplicates} if duplicates else ordered

    def counted(self, name: str) -> dict[int, int]:
        """Cells by bin of a histogram, over all data sets."""
        total: Counter[int] = Counter()
        for row in self.kept:
            total.update({int(key): count for key, count in row[name].items()})
        return dict(sorted(total.items()))

    def annotated(self, column: str) -> dict[str, int]:
        """Cells by the values of a column, most frequent first."""
        total: Counter[str] = Counter()
        for row in self.kept:
            total.update(row["annotation"].get(column, {}))
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))

    def genes_by(self) -> dict[str, int]:
        """Genes of all data sets by how their names were understood."""
        total: Counter[str] = Counter()
        for row in self.kept:
            total.update(row["genes"]["by"])
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))

    def share_matched(self, row: Mapping[str, Any]) -> float:
        """Share of the vocabulary's genes that a data set has, 0 to 1."""
        return float(row["genes"]["matched"]) / len(self.vocabulary)


def shortened(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """The first few of some counts, the rest as one; "unknown" last."""
    known = {name: count for name, count in counts.items() if name != "unknown"}
    shown = dict(list(known.items())[:most])
    rest = list(known.items())[most:]
    if len(rest) == 1:
        shown |= dict(rest)
    elif rest:
        shown[f"{len(rest):,} others"] = sum(count for _, count in rest)
    if counts.get("unknown"):
        shown["unknown"] = counts["unknown"]
    return shown
