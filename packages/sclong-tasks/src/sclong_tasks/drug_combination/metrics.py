"""Metrics of predicted synergy."""

from collections.abc import Callable
from dataclasses import dataclass

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
    units = units_of_test_rows(data, split)
    every = np.ones(len(split.test), dtype=bool)
    new = new_compounds(data, split)
    strata = {"all": every}
    if 0 < new.sum() < len(new):
        strata["new compounds"] = new
    return [
        metric
        for stratum, chosen in strata.items()
        for metric in _Rows(data, split.test[chosen], units[chosen], split.unit, stratum).measure(
            predictions, settings
        )
    ]


@dataclass(frozen=True)
class _Rows:
    """Rows that are measured together."""

    data: CombinationData
    rows: Rows
    units: npt.NDArray[np.str_]
    unit: str
    stratum: str

    def measure(self, predictions: pd.DataFrame, settings: CombinationSettings) -> list[Metric]:
        rows, unit, stratum = self.rows, self.unit, self.stratum
        truth = self.data.synergy[rows]
        score = predictions[TARGET].loc[rows].to_numpy()
        area = auroc(truth, score)

        def measured(name: str, function: _Function) -> Metric:
            def statistic(drawn: Rows) -> float:
                return function(truth[drawn], score[drawn])

            low, high = bootstrap_interval(statistic, self.units, draws=settings.bootstrap_draws)
            value = function(truth, score)
            return Metric(name, value, len(rows), True, unit, low, high, stratum)

        within, pairs = within_groups(truth, score, self.data.pairs[rows])
        ends = (_end(area.low), _end(area.high))
        return [
            Metric("auroc", area.value, len(rows), True, "row", *ends, stratum),
            measured("auprc", average_precision),
            measured("balanced_accuracy", lambda t, s: balanced_accuracy(t, s >= THRESHOLD)),
            measured("auroc_units", lambda t, s: auroc(t, s).value),
            Metric("auroc_within_pair", within, pairs, True, "drug pair", None, None, stratum),
            Metric("prevalence", float(truth.mean()), len(rows), True, "row", None, None, stratum),
        ]


def _end(value: float) -> float | None:
    return None if np.isnan(value) else value


def units_of_test_rows(data: CombinationData, split: Split) -> npt.NDArray[np.str_]:
    """What each test row is resampled with: its pair, its cell line, its new drug, or itself."""
    rows = split.test
    if split.unit == "drug pair":
        return data.pairs[rows]
    if split.unit == "cell line":
        return data.cell_lines[rows]
    if split.unit == "drug":
        seen = np.unique(data.compounds[np.concatenate([split.train, split.validation])])
        new = ~np.isin(data.compounds[rows], seen)
        # Where both drugs are new, the first in the alphabet stands for the row.
        chosen: npt.NDArray[np.str_] = data.compounds[rows][
            np.arange(len(rows)), new.argmax(axis=1)
        ]
        return chosen
    return np.arange(len(rows)).astype(str)
