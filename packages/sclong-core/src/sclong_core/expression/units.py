"""Whether the values of each cell are whole multiples of one unit, once a transform is undone.

Counts of a cell divided by its total and multiplied by a constant are multiples of a unit, the
value of a single count, whatever the total and the constant were. So log1p of them is recognised
by ``expm1`` of a cell's values being multiples of that unit. A cell's smallest value is taken for
1, 2, 3 or 4 counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sclong_core.expression.rows import Csr, filled, row_index

Floats = npt.NDArray[np.float64]
_SMALLEST_COUNTS = (1, 2, 3, 4)
_WIDEST = 0.15
_LARGEST = 64
_BITS_A_VALUE = 8.0
_ENOUGH_BITS = 40.0
_FAILING = 0.05


@dataclass(frozen=True)
class Transform:
    """A transform of scaled counts."""

    inverse: Callable[[Floats], Floats]
    """Undoes it."""
    slope: Callable[[Floats], Floats]
    """Slope of the inverse."""
    largest: float
    """Greater values cannot come from it: undone, they are not counts of anything."""


@dataclass(frozen=True)
class Units:
    """What each row showed. A row without values has no unit, no evidence, and does not fail."""

    unit: Floats
    """Value of one count after the transform is undone, NaN where no unit fits."""
    bits: Floats
    """How surprising the fit would be in arbitrary values: -log2 of its probability."""
    failed: npt.NDArray[np.bool_]
    """The row holds a value that is not a multiple of any unit tried."""


LOG1P = Transform(np.expm1, np.exp, 20.0)
"""log1p of any cell's scaled counts lies below 20: expm1 of that is 485 million."""


def find_units(rows: Csr, transform: Transform) -> Units:
    """Look for the unit of each row.

    A value is judged only where its error leaves multiples apart: the error of float32
    arithmetic, or that of rounding to 2 to 5 decimals or to half precision where the whole row
    shows it. Of values that stand for the same count, one is evidence.

    Args:
        rows: canonical, no value negative or greater than the transform's largest.
        transform: what to undo.
    """
    cells = rows.shape[0]
    unit = np.full(cells, np.nan)
    bits = np.zeros(cells)
    failed = np.zeros(cells, dtype=bool)
    kept, starts = filled(rows)
    if not kept.size:
        return Units(unit, bits, failed)
    group = np.searchsorted(kept, row_index(rows))
    linear = transform.inverse(rows.data)
    spread = transform.slope(rows.data) * _error(rows.data, group, starts)
    smallest = np.minimum.reduceat(linear, starts)
    relative = np.minimum.reduceat(spread, starts) / smallest
    open_rows = np.ones(kept.size, dtype=bool)
    for count in _SMALLEST_COUNTS:
        ratio = linear * (count / smallest)[group]
        tolerance = 2 * (spread * (count / smallest)[group] + ratio * relative[group]) + 1e-6
        nearest = np.rint(ratio)
        judged = tolerance <= _WIDEST
        wrong = judged & (np.abs(ratio - nearest) > tolerance)
        fits = open_rows & ~np.logical_or.reduceat(wrong, starts)
        evidence = _evidence(nearest, tolerance, judged, group, count)
        unit[kept[fits]] = smallest[fits] / count
        bits[kept[fits]] = np.maximum(evidence[fits] - np.log2(len(_SMALLEST_COUNTS)), 0)
        open_rows &= ~fits
        if not open_rows.any():
            break
    failed[kept[open_rows]] = True
    return Units(unit, bits, failed)


def _evidence(
    nearest: Floats,
    tolerance: Floats,
    judged: npt.NDArray[np.bool_],
    group: npt.NDArray[np.int64],
    count: int,
) -> Floats:
    """Bits of each row: over the different counts that it holds, but for its smallest."""
    table = np.zeros((int(group[-1]) + 1, _LARGEST + 1))
    used = judged & (nearest <= _LARGEST) & (nearest > count)
    surprise = np.minimum(-np.log2(2 * tolerance[used]), _BITS_A_VALUE)
    table[group[used], nearest[used].astype(np.int64)] = surprise
    return np.asarray(table.sum(axis=1))


def _error(values: Floats, group: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> Floats:
    """Absolute error of each value as stored."""

    def whole_rows(exact: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return np.asarray(np.logical_and.reduceat(exact, starts)[group])

    with np.errstate(over="ignore"):
        half = whole_rows(values.astype(np.float16).astype(np.float64) == values)
    error = np.where(half, values * 2.0**-11, 1e-6 * np.maximum(values, 1))
    stored = values * np.where(half, 2.0**-11, 2.0**-23)
    for decimals in (5, 4, 3, 2):
        scaled = values * 10.0**decimals
        rounded = whole_rows(np.abs(scaled - np.rint(scaled)) <= 10.0**decimals * stored + 1e-9)
        error = np.where(rounded, np.maximum(error, 0.6 * 10.0**-decimals + stored), error)
    return error


@dataclass
class Fit:
    """Evidence for a transform, gathered over many rows.

    Of rows with the same unit the best counts: they may repeat the same few values.
    """

    transform: Transform
    fitted: int = 0
    failed: int = 0
    _bits: dict[float, float] = field(default_factory=dict)

    def add(self, rows: Csr) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Judge more rows, canonical and non-negative.

        Returns:
            Which rows failed, and which show something either way.
        """
        failed = np.zeros(rows.shape[0], dtype=bool)
        kept, starts = filled(rows)
        if kept.size:
            failed[kept] = np.maximum.reduceat(rows.data, starts) > self.transform.largest
        possible = ~failed
        units = find_units(rows[possible], self.transform)
        failed[possible] = units.failed
        telling = failed.copy()
        telling[possible] |= units.bits > 0
        self.failed += int(failed.sum())
        self.fitted += int((telling & ~failed).sum())
        if not self._enough:
            for row in np.flatnonzero(units.bits > 0):
                unit, bits = float(f"{units.unit[row]:.5g}"), float(units.bits[row])
                self._bits[unit] = max(bits, self._bits.get(unit, 0.0))
        return failed, telling

    @property
    def _enough(self) -> bool:
        return sum(self._bits.values()) >= _ENOUGH_BITS

    @property
    def contradicted(self) -> bool:
        """More rows failed than may be put down to cells whose smallest count is above 4."""
        return self.failed > _FAILING * (self.failed + self.fitted)

    @property
    def found(self) -> bool:
        """The transform is recognised."""
        return self._enough and not self.contradicted
