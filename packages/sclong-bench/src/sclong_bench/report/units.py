"""Intervals beyond seeds: differences of two models on the same test rows, from their predictions.

Predictions of runs are tables with the names of their rows, the truth, and columns
``predicted_...`` beside the truth's. Two runs of one seed and split share their rows, so that what
makes a row hard for both cancels.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sclong_bench.published.numbers import key
from sclong_bench.results.reading import Results
from sclong_bench.results.schema import LABEL, SOURCE, measured
from sclong_bench.statistics.resampling import Rows, interval_over_units
from sclong_tasks.metrics.correlation import pearson, rmse, spearman
from sclong_tasks.metrics.delong import auroc_difference

PREDICTIONS = "predictions.parquet"
"""File of a run's folder."""
_PREDICTED = "predicted_"
_METRICS: dict[str, Callable[..., float]] = {
    "pearson": pearson,
    "spearman": spearman,
    "rmse": rmse,
    "mse": lambda truth, predicted: rmse(truth, predicted) ** 2,
}
_WORK = 2_000_000
"""Rows times resamples that one difference may take."""
_MOST, _LEAST = 500, 100
_LOGGER = logging.getLogger("sclong")


@dataclass(frozen=True)
class Beyond:
    """A difference of a model and the reference, model minus reference, over test rows or units."""

    task: str
    protocol: str
    scenario: str
    metric: str
    model: str
    difference: float
    """Mean over seeds, as are the ends of the interval."""
    low: float
    high: float
    seeds: int
    clear: int
    """Seeds whose own interval leaves out zero."""
    unit: str
    units: int
    method: str


@dataclass(frozen=True)
class _One:
    difference: float
    low: float
    high: float
    units: int
    method: str


def beyond_seeds(results: Results, references: Mapping[str, str]) -> tuple[Beyond, ...]:
    """Every difference that predictions allow; none where runs have left no predictions.

    Args:
        results: what was read.
        references: label of the reference of each task.
    """
    rows = measured(results.rows)
    rows = rows[rows["stratum"].eq("") & rows["seed"].notna() & rows[SOURCE].isin(results.folders)]
    metrics = {*_METRICS, "auroc"}
    found = []
    for keys, group in rows[rows["metric"].map(key).isin(metrics)].groupby(
        ["task", "protocol", "scenario", "metric"], sort=False
    ):
        mine = group[LABEL].eq(references[keys[0]])
        theirs = group[mine].set_index("seed")
        for model, runs in group[~mine].groupby(LABEL, sort=False):
            ours = runs.set_index("seed")
            unit = next((unit for unit in runs["unit"] if unit), "row")
            pairs = [
                (results.folders[ours.loc[seed, SOURCE]], results.folders[theirs.loc[seed, SOURCE]])
                for seed in ours.index.intersection(theirs.index)
            ]
            one = list(_differences(pairs, key(keys[3]), unit))
            if one:
                found.append(_beyond(keys, model, one, unit))
    return tuple(found)


def _differences(pairs: list[tuple[Path, Path]], metric: str, unit: str) -> Iterator[_One]:
    for ours, theirs in pairs:
        tables = [_read(folder) for folder in (ours, theirs)]
        if tables[0] is None or tables[1] is None:
            continue
        one = _difference(tables[0], tables[1], metric, unit)
        if one is not None:
            yield one


def _read(folder: Path) -> pd.DataFrame | None:
    path = folder / PREDICTIONS
    if not path.is_file():
        return None
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        _LOGGER.warning("%s cannot be read, and is left out: %s", path, error)
        return None


def truth_column(table: pd.DataFrame) -> str | None:
    """The one target that is predicted; None where there are several, or none."""
    found = [name for name in table if f"{_PREDICTED}{name}" in table.columns]
    return str(found[0]) if len(found) == 1 else None


def _difference(ours: pd.DataFrame, theirs: pd.DataFrame, metric: str, unit: str) -> _One | None:
    target = truth_column(ours)
    if target is None or truth_column(theirs) != target or len(ours) != len(theirs):
        return None
    truth = ours[target].to_numpy(dtype=np.float64)
    if not np.array_equal(truth, theirs[target].to_numpy(dtype=np.float64), equal_nan=True):
        return None  # other rows, or in another order: nothing is shared
    known = np.isfinite(truth)
    one, other = (
        table[f"{_PREDICTED}{target}"].to_numpy(dtype=np.float64)[known] for table in (ours, theirs)
    )
    truth = truth[known]
    if metric == "auroc":
        if not np.isin(truth, (0, 1)).all():
            return None
        area = auroc_difference(truth, one, other)
        return _One(area.value, area.low, area.high, len(truth), "DeLong")
    units = _units(ours[known], unit)
    measure = _METRICS[metric]

    def of(chosen: Rows) -> float:
        return measure(truth[chosen], one[chosen]) - measure(truth[chosen], other[chosen])

    resamples = max(_LEAST, min(_MOST, _WORK // max(1, len(truth))))
    found = interval_over_units(units, of, resamples=resamples)
    return _One(found.estimate, found.low, found.high, found.units, f"{resamples} resamples")


def _units(table: pd.DataFrame, unit: str) -> list[str]:
    """The unit of each row: the column that is called so, or the row itself."""
    wanted = key(unit)
    named = [name for name in table if key(str(name)) == wanted]
    near = [name for name in table if wanted.endswith(key(str(name))) and len(key(str(name))) > 2]
    for name in (*named, *near):
        return [str(value) for value in table[name]]
    return [str(row) for row in range(len(table))]


def _beyond(keys: tuple[str, str, str, str], model: str, one: list[_One], unit: str) -> Beyond:
    def mean(values: list[float]) -> float:
        return math.fsum(values) / len(values)

    return Beyond(
        *keys,
        model,
        difference=mean([each.difference for each in one]),
        low=mean([each.low for each in one]),
        high=mean([each.high for each in one]),
        seeds=len(one),
        clear=sum(each.low > 0 or each.high < 0 for each in one),
        unit="row" if one[0].method == "DeLong" else unit,
        units=one[0].units,
        method=one[0].method,
    )
