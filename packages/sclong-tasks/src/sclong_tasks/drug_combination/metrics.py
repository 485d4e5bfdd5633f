"""Metrics of predicted synergy."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_tasks.drug_combination.config import CombinationSettings
from sclong_tasks.drug_combination.data import TARGET, CombinationData
from sclong_tasks.drug_combination.splits import new_compounds
from sclong_tasks.metrics.classification import average_precision, balanced_accuracy, within_groups
from sclong_tasks.metrics.delong import auroc
from sclong_tasks.metrics.intervals import bootstrap_interval
from sclong_tasks.splits import Split
from sclong_tasks.task import Metric, Rows

THRESHOLD = 0.5


_Function = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], float]


def evaluate_synergy(
    data: CombinationData, predictions: pd.DataFrame, split: Split, settings: CombinationSettings
) -> list[Metric]:
    """AUROC with DeLong's interval, AUPRC, balanced accuracy, AUROC within drug pairs.

    DeLong's interval takes rows as independent. ``auroc_units`` is the same area with an interval
    by resampling the split's units, and the others' intervals are by units too. The stratum
    ``new compounds`` leaves out rows with a compound of the training rows.
    """
    metrics = _of(data, predictions, split.test, split.unit, settings, "all")
    new = new_compounds(data, split)
    if 0 < new.sum() < len(new):
        metrics += _of(data, predictions, split.test[new], split.unit, settings, "new compounds")
    return metrics


def _of(
    data: CombinationData,
    predictions: pd.DataFrame,
    rows: Rows,
    unit: str,
    settings: CombinationSettings,
    stratum: str,
) -> list[Metric]:
    truth = data.synergy[rows]
    score = predictions[TARGET].loc[rows].to_numpy()
    units = _units(data, rows, unit)
    area = auroc(truth, score)

    def measured(name: str, function: _Function) -> Metric:
        def statistic(drawn: Rows) -> float:
            return function(truth[drawn], score[drawn])

        low, high = bootstrap_interval(statistic, units, draws=settings.bootstrap_draws)
        value = function(truth, score)
        return Metric(name, value, len(rows), True, unit, low, high, stratum)

    within, pairs = within_groups(truth, score, data.pairs[rows])
    return [
        Metric(
            "auroc", area.value, len(rows), True, "row", _end(area.low), _end(area.high), stratum
        ),
        measured("auprc", average_precision),
        measured("balanced_accuracy", lambda t, s: balanced_accuracy(t, s >= THRESHOLD)),
        measured("auroc_units", lambda t, s: auroc(t, s).value),
        Metric("auroc_within_pair", within, pairs, True, "drug pair", None, None, stratum),
        Metric("prevalence", float(truth.mean()), len(rows), True, "row", None, None, stratum),
    ]


def _end(value: float) -> float | None:
    return None if np.isnan(value) else value


def _units(data: CombinationData, rows: Rows, unit: str) -> npt.NDArray[np.generic]:
    if unit == "drug pair":
        return data.pairs[rows]
    if unit == "cell line":
        return data.cell_lines[rows]
    if unit == "drug":
        # Rows of a new drug stand or fall together; the first of two in the alphabet names them.
        first: npt.NDArray[np.str_] = data.compounds[rows, 0]
        return first
    return np.arange(len(rows))
