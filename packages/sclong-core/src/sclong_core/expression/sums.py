"""What the cells of a matrix sum to: data scaled to a common sum shows which transform it had."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sclong_core.expression.rows import Csr, filled
from sclong_core.expression.units import LOG1P, Floats

SAME = 2e-3
"""Relative difference of sums that rounding to half precision or to few decimals can make."""
_DIFFERENT = 1e-2
_MOST = 0.99
_SEVERAL = 5
_LEAST = 50.0
"""log1p of cells scaled to less than this can hardly be told from the scaled values."""


def row_sums(rows: Csr, inverse: Callable[[Floats], Floats]) -> Floats:
    """Sum over each row that holds a value, after a transform is undone."""
    _, starts = filled(rows)
    return np.asarray(np.add.reduceat(inverse(rows.data), starts))


def spread(sums: Floats) -> float:
    """How far nearly all sums lie from the middle one, relative to it."""
    middle = float(np.median(sums))
    return float(np.quantile(np.abs(sums - middle), _MOST)) / max(middle, 1e-300)


def is_common(sums: Floats, tolerance: float = SAME) -> bool:
    """Whether nearly all sums, two at the least, are the same."""
    return sums.size > 1 and spread(sums) <= tolerance


@dataclass
class CellSums:
    """Sums of fractional cells: of their values, and of ``expm1`` of them."""

    complete: bool = True
    """Every cell seen can be log1p, so that both lists are as long."""
    _plain: list[Floats] = field(default_factory=list)
    _unlogged: list[Floats] = field(default_factory=list)

    def add(self, rows: Csr) -> None:
        """Note more cells."""
        self._plain.append(row_sums(rows, lambda values: values))
        if rows.data.max() > LOG1P.largest:
            self.complete = False
        else:
            self._unlogged.append(row_sums(rows, np.expm1))

    @property
    def plain(self) -> Floats:
        """Sums of the values."""
        return _joined(self._plain)

    @property
    def unlogged(self) -> Floats:
        """Sums of ``expm1`` of the values, of blocks that can be log1p."""
        return _joined(self._unlogged)

    def logged_to(self) -> float | None:
        """The sum that all cells had before log1p, where the sums show that; else None.

        ``expm1`` of all cells has one sum, and the values themselves do not. Of few cells the sum
        must be a power of ten too, to be no coincidence.
        """
        sums = self.unlogged
        if not self.complete or not sums.size:
            return None
        middle = float(np.median(sums))
        round_sum = 10.0 ** round(np.log10(max(middle, 1e-9)))
        is_round = bool((np.abs(sums - round_sum) <= 0.1 * SAME * round_sum).all())
        if sums.size == 1:
            return middle if is_round and middle > _LEAST else None
        if not is_common(sums) or is_common(self.plain, _DIFFERENT):
            return None
        return middle if middle > _LEAST and (is_round or sums.size >= _SEVERAL) else None


def _joined(parts: list[npt.NDArray[np.float64]]) -> Floats:
    return np.concatenate(parts) if parts else np.zeros(0)
