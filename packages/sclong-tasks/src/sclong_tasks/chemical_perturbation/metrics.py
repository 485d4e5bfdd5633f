"""Metrics of predicted profiles: error, correlation within a profile, precision of its extremes.

Shapes: r rows (profiles), g genes, k genes of an extreme.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from sclong_core.errors import ConfigError
from sclong_tasks.metrics.correlation import CONSTANT
from sclong_tasks.metrics.intervals import bootstrap_interval
from sclong_tasks.task import Metric

Floats = npt.NDArray[np.float64]
SIZES = (10, 20, 50, 100)
"""Of the predicted extremes."""


def row_pearson(truth_rg: Floats, predicted_rg: Floats) -> Floats:
    """``(r,)`` Pearson's r of each profile over its genes.

    A profile with constant predictions has 0, because they distinguish nothing; one whose
    truth is constant has NaN.
    """
    sides = []
    for values_rg in (truth_rg, predicted_rg):
        mean_r1 = values_rg.mean(axis=1, keepdims=True)
        centred_rg = values_rg - mean_r1
        norm_r = np.linalg.norm(centred_rg, axis=1)
        flat_r = norm_r <= CONSTANT * np.maximum(np.abs(mean_r1[:, 0]), 1e-300)
        sides.append((centred_rg, norm_r, flat_r))
    (a_rg, norm_a_r, flat_a_r), (b_rg, norm_b_r, flat_b_r) = sides
    scale_r = np.where(flat_a_r | flat_b_r, 1.0, norm_a_r * norm_b_r)
    found_r: Floats = np.clip((a_rg * b_rg).sum(axis=1) / scale_r, -1.0, 1.0)
    found_r[flat_b_r] = 0.0
    found_r[flat_a_r] = np.nan
    return found_r


def row_spearman(truth_rg: Floats, predicted_rg: Floats) -> Floats:
    """``(r,)`` Spearman's rho of each profile; constant ones as in :func:`row_pearson`."""
    return row_pearson(rankdata(truth_rg, axis=1), rankdata(predicted_rg, axis=1))


def row_precision(
    truth_rg: Floats, predicted_rg: Floats, *, top: int, size: int, highest: bool
) -> Floats:
    """``(r,)`` share of the predicted extreme genes that are among the true ones.

    Where genes tie at the edge of an extreme, the expected share over random orders of them is
    given: what is constant gets ``top / g``.

    Args:
        truth_rg: true profiles.
        predicted_rg: predicted profiles.
        top: how many true genes count.
        size: how many predicted genes are looked at.
        highest: the largest values, or the smallest.
    """
    sign = 1.0 if highest else -1.0
    true_rg = _chances(sign * truth_rg, top)
    chosen_rg = _chances(sign * predicted_rg, size)
    found_r: Floats = (true_rg * chosen_rg).sum(axis=1) / size
    return found_r


def _chances(values_rg: Floats, count: int) -> Floats:
    """Chance of each gene to be among the ``count`` largest of its row, ties in random order."""
    edge_r1 = -np.partition(-values_rg, count - 1, axis=1)[:, count - 1 : count]
    above_rg = values_rg > edge_r1
    tied_rg = values_rg == edge_r1
    free_r1 = count - above_rg.sum(axis=1, keepdims=True)
    found_rg: Floats = above_rg + tied_rg * (free_r1 / tied_rg.sum(axis=1, keepdims=True))
    return found_rg


def measure(
    truth_rg: Floats,
    predicted_rg: Floats,
    *,
    mean_g: Floats,
    units: npt.ArrayLike,
    unit: str,
    top: int,
    draws: int,
) -> list[Metric]:
    """All metrics of some profiles.

    Args:
        truth_rg: true profiles.
        predicted_rg: predicted profiles.
        mean_g: mean of the training profiles, beyond which ``pearson_beyond_mean`` looks.
        units: what is resampled, one value a profile.
        unit: what it is.
        top: genes of an extreme.
        draws: of the bootstrap; 0 gives no intervals.

    Raises:
        ConfigError: there are too few genes for extremes of this size.
    """
    genes = truth_rg.shape[1]
    if genes <= top:
        raise ConfigError(f"task.top_genes={top} needs more genes than the {genes} of the data")
    squared_r = ((truth_rg - predicted_rg) ** 2).mean(axis=1)
    nothing = _all_constant(predicted_rg)
    by_row: dict[str, Floats] = {
        "pearson": row_pearson(truth_rg, predicted_rg),
        "spearman": row_spearman(truth_rg, predicted_rg),
        "pearson_beyond_mean": row_pearson(truth_rg - mean_g, predicted_rg - mean_g),
    }
    if nothing:
        by_row["pearson"] = by_row["spearman"] = np.full(len(truth_rg), np.nan)
    for name, highest in (("pos", True), ("neg", False)):
        for size in sorted({*SIZES, top}):
            if size <= top:
                by_row[f"{name}_p_at_{size}"] = row_precision(
                    truth_rg, predicted_rg, top=top, size=size, highest=highest
                )
    rmse = _metric(
        "rmse", squared_r, lambda values: float(np.sqrt(values.mean())), units, unit, draws
    )
    means = [
        _metric(name, values_r, _mean, units, unit, draws) for name, values_r in by_row.items()
    ]
    return [means[0], rmse, *means[1:]]


def _metric(
    name: str,
    values_r: Floats,
    summary: Callable[[Floats], float],
    units: npt.ArrayLike,
    unit: str,
    draws: int,
) -> Metric:
    def statistic(rows: npt.NDArray[np.int64]) -> float:
        return summary(values_r[rows])

    low, high = bootstrap_interval(statistic, units, draws=draws)
    # Where no profile has a value, it is the predictions of all of them that have none.
    defined = int(np.isfinite(values_r).sum()) or len(values_r)
    return Metric(name, summary(values_r), defined, name != "rmse", unit, low, high)


def _mean(values: Floats) -> float:
    """Over the profiles for which it is defined."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _all_constant(values_rg: Floats) -> bool:
    spread_r = np.ptp(values_rg, axis=1)
    return bool((spread_r <= CONSTANT * np.abs(values_rg).max(axis=1)).all())
