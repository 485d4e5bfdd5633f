"""The runs of one model, as a test sees them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NO_SPREAD = 1e-12
"""Relative range below which runs are taken for equal: what the order of summation leaves."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Values of one metric, one a run."""

    values: Floats
    seeds: tuple[int, ...] = ()
    """Seed of each value, ascending; empty where the model has none: it is deterministic."""

    @classmethod
    def of(cls, values: Iterable[float], seeds: Sequence[int] | None = None) -> "Sample":
        """A sample in order of its seeds.

        Args:
            values: one a run.
            seeds: 0, 1, ... where they are left out. An empty list marks a deterministic model.
        """
        found = np.asarray(list(values), dtype=np.float64)
        names = range(len(found)) if seeds is None else seeds
        if len(names) == 0:
            return cls(found)
        order = np.argsort(np.asarray(names), kind="stable")
        return cls(found[order], tuple(int(names[place]) for place in order))

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.values)

    @property
    def finite(self) -> bool:
        """Whether all values are numbers, and there is one."""
        return self.n > 0 and bool(np.isfinite(self.values).all())

    @property
    def constant(self) -> bool:
        """Whether the model is known not to vary: it has no seed, or gives one value for all."""
        return not self.seeds or (self.n > 1 and not self.spread)

    @property
    def spread(self) -> float:
        """Largest minus smallest value; 0 where that is nothing but rounding."""
        if not self.finite:
            return float("nan")
        found = float(np.ptp(self.values))
        return found if found > _NO_SPREAD * float(np.abs(self.values).max()) else 0.0

    @property
    def mean(self) -> float:
        """Mean; NaN without values."""
        return float(self.values.mean()) if self.n else float("nan")

    @property
    def sd(self) -> float:
        """Sample standard deviation (ddof 1); NaN below two values, 0 for a constant."""
        if self.n < 2 or not self.finite:
            return float("nan")
        return float(self.values.std(ddof=1)) if self.spread else 0.0
