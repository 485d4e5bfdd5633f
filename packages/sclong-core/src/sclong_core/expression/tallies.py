"""The numbers that a pass over all cells gathers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sclong_core.config import InputConfig
from sclong_core.expression.genes import GeneMatch
from sclong_core.expression.normalisation import exact_counts, matched_rows, row_maxima
from sclong_core.expression.recognition import Normalisation
from sclong_core.expression.rows import Csr, row_index
from sclong_core.expression.units import LOG1P

POOR = 0.5
"""Cells with a smaller share of their counts on genes of the model are matched poorly."""


@dataclass(frozen=True)
class Survey:
    """What a pass over all cells found."""

    cells: int
    """Number of cells."""
    genes: int
    """Number of genes of the data."""
    matched: int
    """Genes of the vocabulary among them."""
    unknown: int
    """Genes of the data that the vocabulary does not hold."""
    share_of_counts_matched: float
    """Share of all counts (``expm1`` of logged values) that is on matched genes, 0 to 1."""
    normalisation: Normalisation
    """What the values are."""
    forced: bool
    """The normalisation was asked for instead of recognised."""
    target_sum: float | None
    """Median over cells of the sum of ``expm1`` of logged values, which is what they had been
    scaled to if the data holds all genes; None for raw counts."""
    unmatched_cells: int
    """Cells whose every matched gene is 0."""
    poor_cells: int
    """Cells less than half of whose counts are on matched genes, those included."""
    rescaled_cells: int
    """Cells scaled up to the maximum, if the model has one."""
    clipped_cells: int
    """Cells with values clipped to the maximum, if the model has one."""
    matrix: str
    """The matrix that was read."""


@dataclass
class Tally:
    """Numbers gathered over blocks, for either normalisation: which it is shows at the end."""

    input_config: InputConfig
    empty: int = 0
    first_empty: str = ""
    unmatched: int = 0
    first_unmatched: str = ""
    total: dict[Normalisation, float] = field(default_factory=lambda: {"raw": 0.0, "log1p": 0.0})
    matched: dict[Normalisation, float] = field(default_factory=lambda: {"raw": 0.0, "log1p": 0.0})
    poor: dict[Normalisation, int] = field(default_factory=lambda: {"raw": 0, "log1p": 0})
    below: dict[Normalisation, int] = field(default_factory=lambda: {"raw": 0, "log1p": 0})
    above: dict[Normalisation, int] = field(default_factory=lambda: {"raw": 0, "log1p": 0})

    def add(self, rows: Csr, match: GeneMatch, names: Sequence[str]) -> None:
        """Count a block of canonical rows."""
        counts, totals = exact_counts(rows)
        known = matched_rows(counts, match)
        largest = row_maxima(known)
        empty, unmatched = np.diff(rows.indptr) == 0, largest == 0
        unmatched &= ~empty
        if empty.any() and not self.empty:
            self.first_empty = names[int(np.argmax(empty))]
        if unmatched.any() and not self.unmatched:
            self.first_unmatched = names[int(np.argmax(unmatched))]
        self.empty += int(empty.sum())
        self.unmatched += int(unmatched.sum())
        self.total["raw"] += float(totals.sum())
        self.matched["raw"] += float(known.data.sum())
        logged, logged_known = _unlogged(rows), _unlogged(known)
        self.total["log1p"] += float(logged.sum())
        self.matched["log1p"] += float(logged_known.sum())
        self.poor["raw"] += int((row_sums(known) < POOR * totals).sum())
        self.poor["log1p"] += int((logged_known < POOR * logged).sum())
        if self.input_config.maximum is not None:
            raw = np.log1p(largest / np.maximum(totals, 1e-300) * self.input_config.target_sum)
            values: dict[Normalisation, npt.NDArray[np.float64]] = {"raw": raw, "log1p": largest}
            for kind, highest in values.items():
                self.below[kind] += int(
                    ((highest > 0) & (highest < self.input_config.maximum)).sum()
                )
                self.above[kind] += int((highest > self.input_config.maximum).sum())


def row_sums(rows: Csr) -> npt.NDArray[np.float64]:
    """Sum of each row."""
    return np.asarray(
        np.bincount(row_index(rows), weights=rows.data, minlength=rows.shape[0]), dtype=np.float64
    )


def _unlogged(rows: Csr) -> npt.NDArray[np.float64]:
    """Sum of ``expm1`` over each row, of values that can be log1p."""
    data = np.expm1(np.minimum(rows.data, LOG1P.largest))
    sums = np.bincount(row_index(rows), weights=data, minlength=rows.shape[0])
    return np.asarray(sums, dtype=np.float64)
