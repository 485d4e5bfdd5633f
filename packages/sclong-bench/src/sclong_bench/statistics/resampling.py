"""Intervals over units of generalisation: cell lines, drugs, perturbations, factors, donors.

Seeds tell how much training varies; they do not tell whether a result holds for another drug. For
that, whole units are drawn with replacement, with all their rows.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Rows = npt.NDArray[np.int64]
Method = Literal["percentile", "BCa"]


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval."""

    estimate: float
    low: float
    high: float
    units: int
    """Number of units that were resampled."""
    note: str = ""
    """Why there is no interval, or what is to be known about it."""


def interval_over_units(
    units: Sequence[Hashable],
    measure: Callable[[Rows], float],
    *,
    resamples: int = 2_000,
    confidence: float = 0.95,
    method: Method = "percentile",
    seed: int = 0,
) -> Interval:
    """Resample units, and with each all of its rows.

    For a difference of two models, ``measure`` gives the difference of both on the same rows, so
    that what they share cancels.

    Args:
        units: name of the unit of each row.
        measure: the metric of some rows, by their numbers, repeated as drawn. May be NaN where it
            is not defined (one class only); such resamples are left out and counted in the note.
        resamples: how many.
        confidence: of the interval.
        method: "BCa" corrects bias and skew at the price of one more measure a unit.
        seed: of the draws.
    """
    codes, names = pd.factorize(np.asarray(units, dtype=object))
    rows_of = [np.flatnonzero(codes == code) for code in range(len(names))]
    estimate = float(measure(np.arange(len(codes))))
    if len(names) < 2:
        return Interval(
            estimate, np.nan, np.nan, len(names), "one unit: nothing to generalise over"
        )

    def of_units(chosen: Rows) -> float:
        return float(measure(np.concatenate([rows_of[int(code)] for code in chosen])))

    if method == "BCa":
        found = stats.bootstrap(
            (np.arange(len(names)),),
            of_units,
            vectorized=False,
            n_resamples=resamples,
            confidence_level=confidence,
            method="BCa",
            random_state=np.random.default_rng(seed),
        ).confidence_interval
        return Interval(estimate, float(found.low), float(found.high), len(names))
    generator = np.random.default_rng(seed)
    draws = np.array(
        [of_units(generator.integers(len(names), size=len(names))) for _ in range(resamples)]
    )
    return _percentiles(draws, estimate, len(names), confidence)


def _percentiles(
    draws: npt.NDArray[np.float64], estimate: float, units: int, confidence: float
) -> Interval:
    defined = draws[np.isfinite(draws)]
    lost = len(draws) - len(defined)
    if lost > len(draws) / 2:
        return Interval(estimate, np.nan, np.nan, units, "not defined in most resamples")
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    note = f"not defined in {lost} of {len(draws)} resamples" if lost else ""
    return Interval(estimate, float(low), float(high), units, note)
