"""Metrics of two classes."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from sclong_tasks.metrics.delong import auroc


def average_precision(truth: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Area under the precision-recall curve, as a sum of steps; NaN with one class.

    What a score without information gets is the share of positive rows.
    """
    labels, values = np.asarray(truth), np.asarray(score, dtype=np.float64)
    if len(np.unique(labels)) < 2 or np.isnan(values).any():
        return float("nan")
    return float(average_precision_score(labels, values))


def balanced_accuracy(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Mean of the shares of each class that are predicted right; NaN with one class."""
    labels, chosen = np.asarray(truth).astype(bool), np.asarray(predicted).astype(bool)
    if labels.all() or not labels.any():
        return float("nan")
    return float((chosen[labels].mean() + (~chosen[~labels]).mean()) / 2)


def within_groups(
    truth: npt.ArrayLike, score: npt.ArrayLike, groups: npt.ArrayLike
) -> tuple[float, int]:
    """Mean AUROC within groups that have both classes, and how many these are.

    It leaves out all that can be known from the group alone: what depends on nothing else gets 0.5.
    """
    labels, values = np.asarray(truth), np.asarray(score, dtype=np.float64)
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    cuts = np.cumsum(np.bincount(codes))[:-1]
    areas = [auroc(labels[rows], values[rows]).value for rows in np.split(order, cuts)]
    found = [area for area in areas if not np.isnan(area)]
    return (float(np.mean(found)), len(found)) if found else (float("nan"), 0)
