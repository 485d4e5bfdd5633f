"""What the demonstration measures, in rows of one shape."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

SCLONG, PCA = "scLong", "PCA"
MINI = "scLong-mini"
"""The model that comes with the package; ``SCLONG`` is the one that the demonstration trains."""
GENE_MEAN, CELL_MEAN, GENE_AND_CELL = "gene mean", "cell mean", "gene + cell offsets"
LARGEST_TYPE = "largest type"
"""Names of the methods, as the page shows them."""


@dataclass(frozen=True)
class Row:
    """One number."""

    measure: str
    """What was measured: "r2", "pearson", "mse", "accuracy"."""
    method: str
    """What is being judged."""
    draw: int
    """Number of the mask or of the split, from 0."""
    value: float
    """The number."""


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation over draws."""

    mean: float
    deviation: float
    values: tuple[float, ...]


def values_of(rows: Iterable[Row], measure: str, method: str) -> tuple[float, ...]:
    """The numbers of one method in order of their draws."""
    chosen = [row for row in rows if (row.measure, row.method) == (measure, method)]
    return tuple(row.value for row in sorted(chosen, key=lambda row: row.draw))


def summarise(rows: Iterable[Row], measure: str, method: str) -> Summary:
    """Mean and sample standard deviation of one method; 0 for a single draw."""
    values = values_of(rows, measure, method)
    return Summary(fmean(values), stdev(values) if len(values) > 1 else 0.0, values)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [asdict(row) for row in rows]
