"""What is counted while cells are harmonised: for the report, and for the page of figures."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.expression import Normalisation
from sclong_data.harmoniser.annotation import count_values
from sclong_data.harmoniser.transform import HarmonisedBlock

GENES_A_BIN = 100
BINS_A_DECADE = 20


@dataclass
class Tally:
    """Numbers of some cells of one data set; all but the first two are of the cells stored."""

    cells: int = 0
    """Cells in the file."""
    out: Counter[str] = field(default_factory=Counter)
    """Cells left out, by reason."""
    stored: int = 0
    """Cells that are stored."""
    values: int = 0
    """Their values above zero."""
    rescaled: int = 0
    """Cells scaled up to the maximum."""
    clipped: int = 0
    """Cells with values clipped to the maximum."""
    counts: float = 0.0
    """Their counts over all genes of the file, in their data set's unit."""
    counts_matched: float = 0.0
    """The same over genes of the vocabulary."""
    genes_a_cell: Counter[str] = field(default_factory=Counter)
    """Cells by number of genes above zero, in bins of 100 named by their lower end."""
    counts_a_cell: Counter[str] = field(default_factory=Counter)
    """Cells of raw counts by their total, in bins named by floor(20 * log10(total))."""
    annotation: dict[str, Counter[str]] = field(default_factory=dict)
    """Cells by the values of each column of the schema."""

    def add(
        self, block: HarmonisedBlock, kept: npt.NDArray[np.bool_], normalisation: Normalisation
    ) -> None:
        """Count a block of cells, of which some are stored."""
        self.cells += kept.size
        self.stored += int(kept.sum())
        self.values += int(block.genes[kept].sum())
        self.rescaled += int(block.rescaled[kept].sum())
        self.clipped += int(block.clipped[kept].sum())
        self.counts += float(block.totals[kept].sum())
        self.counts_matched += float(block.matched[kept].sum())
        self.genes_a_cell.update(_named(block.genes[kept] // GENES_A_BIN * GENES_A_BIN))
        if normalisation == "raw":
            totals = block.totals[kept]
            bins = np.floor(BINS_A_DECADE * np.log10(np.maximum(totals, 1.0)))
            self.counts_a_cell.update(_named(bins.astype(np.int64)))

    def describe(self, obs: pd.DataFrame) -> None:
        """Count the annotation of stored cells."""
        for name, counts in count_values(obs):
            self.annotation.setdefault(name, Counter()).update(counts)

    @classmethod
    def total(cls, tallies: Iterable[Self]) -> Self:
        """The numbers of several together."""
        result = cls()
        for tally in tallies:
            for name in ("cells", "stored", "values", "rescaled", "clipped"):
                setattr(result, name, getattr(result, name) + getattr(tally, name))
            result.counts += tally.counts
            result.counts_matched += tally.counts_matched
            result.out.update(tally.out)
            result.genes_a_cell.update(tally.genes_a_cell)
            result.counts_a_cell.update(tally.counts_a_cell)
            for name, counts in tally.annotation.items():
                result.annotation.setdefault(name, Counter()).update(counts)
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "annotation"
        }
        counters = {name: dict(value) for name, value in plain.items() if isinstance(value, dict)}
        annotation = {name: dict(counts) for name, counts in self.annotation.items()}
        return {**plain, **counters, "annotation": annotation}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        counters = {
            name: Counter(values[name]) for name in ("out", "genes_a_cell", "counts_a_cell")
        }
        annotation = {name: Counter(counts) for name, counts in values["annotation"].items()}
        return cls(**{**values, **counters, "annotation": annotation})


def _named(bins: npt.NDArray[np.int64]) -> dict[str, int]:
    numbers, counts = np.unique(bins, return_counts=True)
    return {str(int(one)): int(count) for one, count in zip(numbers, counts, strict=True)}
