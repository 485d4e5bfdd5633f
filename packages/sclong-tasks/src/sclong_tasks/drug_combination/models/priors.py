"""Models that know nothing but names: how often a pair, or each drug, was synergistic."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError
from sclong_core.files import write_json
from sclong_tasks.drug_combination.data import TARGET, CombinationData
from sclong_tasks.splits import Split
from sclong_tasks.task import Rows, RunContext, TaskModel

_FILE = "rates.json"


@dataclass
class PriorOptions:
    """How rates are smoothed."""

    weight: float = 2.0
    """Rows of the mean rate that are added to those of each name."""

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ConfigError("weight must be positive: names with few rows need the mean rate")


class PairPrior(TaskModel[CombinationData]):
    """Smoothed rate of the pair in training; the mean rate for a new pair."""

    Options: ClassVar[type] = PriorOptions
    mean: float
    rates: Mapping[str, float]

    def fit(self, data: CombinationData, split: Split, context: RunContext) -> None:
        """Count."""
        del context
        truth = data.synergy[split.train]
        self.mean = float(truth.mean())
        self.rates = _rates(self.groups(data, split.train), truth, self.mean, self.options.weight)

    def groups(self, data: CombinationData, rows: Rows) -> list[npt.NDArray[np.str_]]:
        """Names to look up for each row; their log-odds are averaged."""
        return [data.pairs[rows]]

    def predict(self, data: CombinationData, rows: Rows) -> pd.DataFrame:
        """Rates of the rows' names."""
        odds = [
            [_log_odds(self.rates.get(str(name), self.mean)) for name in names]
            for names in self.groups(data, rows)
        ]
        together = np.mean(np.array(odds, dtype=np.float64), axis=0)
        return pd.DataFrame({TARGET: 1 / (1 + np.exp(-together))}, index=rows)

    def save(self, folder: Path) -> None:
        """Rates as JSON."""
        write_json(folder / _FILE, {"mean": self.mean, "rates": dict(self.rates)})

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        import json  # noqa: PLC0415  # only here

        del context
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        model = cls(cls.Options())
        model.mean, model.rates = content["mean"], content["rates"]
        return model

    def describe(self) -> dict[str, Any]:
        """How many names it knows."""
        return {"known_names": len(self.rates)}


class DrugPrior(PairPrior):
    """Mean log-odds of the two drugs' smoothed rates and of the cell line's."""

    def groups(self, data: CombinationData, rows: Rows) -> list[npt.NDArray[np.str_]]:
        """Both compounds, and the cell line."""
        return [*data.compounds[rows].T, data.cell_lines[rows]]


def _rates(
    groups: list[npt.NDArray[np.str_]], truth: npt.NDArray[np.float64], mean: float, weight: float
) -> dict[str, float]:
    names = np.concatenate(groups)
    frame = pd.DataFrame({"name": names, "truth": np.tile(truth, len(groups))})
    found = frame.groupby("name")["truth"].agg(["sum", "count"])
    smoothed = (found["sum"] + weight * mean) / (found["count"] + weight)
    return {str(name): float(rate) for name, rate in smoothed.items()}


def _log_odds(rate: float) -> float:
    return float(np.log(rate) - np.log1p(-rate))
