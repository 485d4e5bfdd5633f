"""Area under the ROC curve with DeLong's interval, and the test of two on the same rows.

DeLong, DeLong and Clarke-Pearson (1988), by the mid-ranks of Sun and Xu (2014): the time of a sort.
The interval is over rows that are independent of each other; where they come in groups (pairs of
one drug, cells of one donor), groups have to be resampled instead.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Area:
    """An area, or a difference of two, with its interval. NaN where it is not defined."""

    value: float
    se: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    p_value: float = float("nan")
    """Two-sided, of a difference."""


def auroc(truth: npt.ArrayLike, score: npt.ArrayLike, *, confidence: float = 0.95) -> Area:
    """Area under the ROC curve; ties count half. NaN with one class, or a score that is NaN.

    As :func:`sklearn.metrics.roc_auc_score`.

    Args:
        truth: 0 or 1, or false and true, one a row.
        score: higher for rows that are more likely 1.
        confidence: of the interval, which is cut at 0 and 1. It is NaN where a class has one row.
    """
    parts = _components(truth, score)
    if parts is None:
        return Area(float("nan"))
    value, positive, negative = parts
    found = _area(value, _variance(positive, negative), confidence)
    return Area(value, found.se, max(0.0, found.low), min(1.0, found.high))


def auroc_difference(
    truth: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    confidence: float = 0.95,
) -> Area:
    """Area of ``first`` minus area of ``second`` on the same rows, with DeLong's paired test.

    Where both order the rows alike, the difference and its error are 0 and there is no p-value.
    """
    one, other = _components(truth, first), _components(truth, second)
    if one is None or other is None:
        return Area(float("nan"))
    difference = one[0] - other[0]
    return _area(difference, _variance(one[1] - other[1], one[2] - other[2]), confidence)


def _components(truth: npt.ArrayLike, score: npt.ArrayLike) -> tuple[float, Floats, Floats] | None:
    """The area, and the share of the other class that each row stands on the right side of."""
    labels = np.asarray(truth)
    values = np.asarray(score, dtype=np.float64)
    if labels.shape != values.shape or labels.ndim != 1:
        raise ValueError(f"truth and scores must be vectors of one length: {labels.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("truth must be 0 or 1")
    positive, negative = values[labels == 1], values[labels == 0]
    if not len(positive) or not len(negative) or np.isnan(values).any():
        return None
    together = stats.rankdata(np.concatenate([positive, negative]))
    above = (together[: len(positive)] - stats.rankdata(positive)) / len(negative)
    below = 1 - (together[len(positive) :] - stats.rankdata(negative)) / len(positive)
    return float(above.mean()), above, below


def _variance(positive: Floats, negative: Floats) -> float:
    if min(len(positive), len(negative)) < 2:
        return float("nan")
    return float(positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative))


def _area(value: float, variance: float, confidence: float) -> Area:
    se = float(np.sqrt(variance))
    half = float(stats.norm.ppf((1 + confidence) / 2)) * se
    p_value = float(2 * stats.norm.sf(abs(value) / se)) if se > 0 else float("nan")
    return Area(value, se, value - half, value + half, p_value)
