"""Intervals by resampling the units that a result is meant to hold for: drugs, cell lines, ..."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sclong_tasks.task import Metric

Rows = npt.NDArray[np.int64]


def bootstrap_interval(
    statistic: Callable[[Rows], float],
    units: npt.ArrayLike,
    *,
    draws: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float | None, float | None]:
    """Percentile interval of a statistic when whole units are drawn with replacement.

    Args:
        statistic: of row numbers, in which rows of a unit drawn twice occur twice.
        units: the unit of each row.
        draws: how often.
        level: of the interval.
        seed: of the draws.

    Returns:
        Its ends; None where there are fewer than two units, or the statistic is mostly undefined.
    """
    names, codes = np.unique(np.asarray(units), return_inverse=True)
    if len(names) < 2 or draws < 1:
        return None, None
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    generator = np.random.default_rng(seed)
    values = np.array(
        [
            statistic(
                np.concatenate(
                    [rows[unit] for unit in generator.integers(len(names), size=len(names))]
                )
            )
            for _ in range(draws)
        ]
    )
    values = values[np.isfinite(values)]
    if len(values) < draws / 2:
        return None, None
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def mean_over(
    name: str, values: npt.ArrayLike, *, unit: str, draws: int, higher_is_better: bool = True
) -> Metric:
    """The mean of one value a unit, with an interval by drawing units; NaN without any.

    Args:
        name: of the metric.
        values: of the units.
        unit: what they are.
        draws: of units.
        higher_is_better: whether it is.
    """
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return Metric(name, float("nan"), 0, higher_is_better=higher_is_better, unit=unit)
    low, high = bootstrap_interval(
        lambda rows: float(found[rows].mean()), np.arange(len(found)), draws=draws
    )
    return Metric(
        name,
        float(found.mean()),
        len(found),
        higher_is_better=higher_is_better,
        unit=unit,
        low=low,
        high=high,
    )
