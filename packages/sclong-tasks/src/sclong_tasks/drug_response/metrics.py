"""Metrics of drug response: overall and within each drug, with intervals over units."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sclong_tasks.drug_response.data import DrugResponseData
from sclong_tasks.metrics.correlation import pearson, pearson_within, rmse, spearman
from sclong_tasks.metrics.intervals import bootstrap_interval
from sclong_tasks.task import Metric, Rows

Floats = npt.NDArray[np.float64]
UNITS = {"drug": "drug", "tissue": "tissue"}
"""What is resampled, by scenario; cell lines in all others."""


def measure(
    data: DrugResponseData, rows: Rows, predicted: Floats, *, scenario: str, draws: int
) -> list[Metric]:
    """Pearson over all test rows, its mean within drugs, Spearman, and RMSE.

    Args:
        data: with the truth.
        rows: that were predicted.
        predicted: ln IC50 of these rows.
        scenario: which decides the unit of the intervals.
        draws: of the bootstrap; 0 gives no intervals.
    """
    truth, drug = data.target[rows], data.drug[rows]
    unit = UNITS.get(scenario, "cell line")
    columns = {"drug": data.compound, "tissue": data.table["tissue"].to_numpy()}
    units = columns.get(unit, data.table["line"].to_numpy())[rows]
    drugs = int(np.sum(np.unique(drug, return_counts=True)[1] >= 3))

    def within(chosen: Rows) -> float:
        values = pearson_within(truth[chosen], predicted[chosen], drug[chosen])
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def of(function: Callable[[Floats, Floats], float]) -> Callable[[Rows], float]:
        return lambda chosen: function(truth[chosen], predicted[chosen])

    every = np.arange(len(rows))
    found = []
    for name, statistic, n, higher in (
        ("pearson", of(pearson), len(rows), True),
        ("pearson_within_drug", within, drugs, True),
        ("spearman", of(spearman), len(rows), True),
        ("rmse", of(rmse), len(rows), False),
    ):
        low, high = bootstrap_interval(statistic, units, draws=draws)
        found.append(Metric(name, statistic(every), n, higher, unit, low, high))
    return found
