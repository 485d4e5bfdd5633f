"""Correlation and error of predicted numbers. Each is NaN where it is not defined.

Shapes: n values.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]

CONSTANT = 1e-13
"""A vector whose deviations are smaller than this times its size is constant: rounding alone moves
it (scipy warns at the same bound)."""


def pearson(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Pearson's r; NaN for fewer than two values, a constant vector, or a value that is not finite.

    As :func:`scipy.stats.pearsonr`.
    """
    x, y = _pair(truth, predicted)
    if len(x) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("nan")
    sides = [_centred(one) for one in (x, y)]
    norms = [float(np.linalg.norm(centred)) for centred, _ in sides]
    if any(norm <= CONSTANT * size for norm, (_, size) in zip(norms, sides, strict=True)):
        return float("nan")
    (a, _), (b, _) = sides
    return float(np.clip(np.dot(a / norms[0], b / norms[1]), -1.0, 1.0))


def spearman(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Spearman's rho with mean ranks for ties; NaN as :func:`pearson`.

    As :func:`scipy.stats.spearmanr`.
    """
    x, y = _pair(truth, predicted)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("nan")
    return pearson(rankdata(x), rankdata(y))


def rmse(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Root of the mean squared error; NaN without values.

    As :func:`sklearn.metrics.root_mean_squared_error`.
    """
    x, y = _pair(truth, predicted)
    return float(np.sqrt(np.mean((x - y) ** 2))) if len(x) else float("nan")


def pearson_within(
    truth: npt.ArrayLike, predicted: npt.ArrayLike, groups: npt.ArrayLike, *, least: int = 3
) -> Floats:
    """Pearson's r in each group of rows that has at least ``least`` of them, by ascending name.

    A group with constant predictions has the value 0: they distinguish nothing. One whose
    truth is constant has NaN.
    """
    x, y = _pair(truth, predicted)
    _, codes, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    sides = []
    for values in (x, y):
        means = np.bincount(codes, values) / counts
        centred = values - means[codes]
        norms = np.sqrt(np.bincount(codes, centred**2))
        sides.append((centred, norms, norms <= CONSTANT * np.maximum(np.abs(means), 1e-300)))
    (a, norm_a, flat_a), (b, norm_b, flat_b) = sides
    products = np.bincount(codes, a * b)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.clip(products / (norm_a * norm_b), -1.0, 1.0)
    found[flat_b] = 0.0
    found[flat_a] = np.nan
    large: Floats = found[counts >= least]
    return large


def is_constant(values: npt.ArrayLike) -> bool:
    """Whether all values are one, up to rounding."""
    centred, size = _centred(np.asarray(values, dtype=np.float64))
    return bool(np.linalg.norm(centred) <= CONSTANT * size)


def _pair(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[Floats, Floats]:
    x = np.asarray(truth, dtype=np.float64)
    y = np.asarray(predicted, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(
            f"truth and predictions must be vectors of one length: {x.shape}, {y.shape}"
        )
    return x, y


def _centred(values: Floats) -> tuple[Floats, float]:
    mean = values.mean() if len(values) else 0.0
    return values - mean, abs(float(mean)) or 1e-300
