"""Measures of predicted expression: what runs of genetic perturbation left.

Two kinds of tables with labels are read: ``predictions.parquet`` of a run, and what ``sclong task
predict genetic_perturbation`` writes. Either has a column ``perturbation`` and one column
``predicted_GENE`` for each gene.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.genetic_interactions.data import InteractionData
from sclong_tasks.genetic_interactions.models.base import Floats, PairModel
from sclong_tasks.genetic_interactions.profiles import Profiles, measure_pair
from sclong_tasks.genetic_interactions.reading import read_any
from sclong_tasks.genetic_perturbation.conditions import as_condition, perturbation_of
from sclong_tasks.task import ProtocolName, Rows

_LOG = logging.getLogger("sclong")
_PREFIX = "predicted_"


@dataclass
class PredictionsOptions:
    """``model.paths`` names the files."""

    paths: list[str] = field(default_factory=list)
    """Tables of predicted expression, of pairs and of single genes."""
    singles: str = "predicted"
    """Effects of single genes in the fit: "predicted" ones, as the paper says, or "measured" ones,
    as its code has it, which makes the task easier."""

    def __post_init__(self) -> None:
        if self.singles not in ("predicted", "measured"):
            raise ConfigError("model.singles must be predicted or measured")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "PredictionsOptions":
        """As published: measured."""
        return cls(singles="measured" if protocol == "published" else "predicted")


class Predictions(PairModel):
    """Predicted expression, measured as the measured one is."""

    Options: ClassVar[type] = PredictionsOptions

    def learn(self, data: InteractionData, train: Rows) -> None:
        """Read the predictions.

        Raises:
            InputError: there is no expression to compare with, or genes differ.
        """
        del train
        if not self.options.paths:
            raise ConfigError("the model predictions needs model.paths=[FILE]")
        profiles = _profiles(data)
        means: dict[str, Floats] = {}
        for path in map(Path, self.options.paths):
            means.update(read_predictions(path, profiles.genes))
        self.names = {"perturbations": list(means), "genes": list(profiles.genes)}
        self.arrays["effects"] = np.array(list(means.values())) - profiles.control
        self.facts = {"predicted_perturbations": len(means), "singles": self.options.singles}

    def predict(self, data: InteractionData, rows: Rows) -> pd.DataFrame:
        """Measures of these pairs.

        Raises:
            InputError: a pair, or a gene alone, was not predicted; they are named.
        """
        place = {name: number for number, name in enumerate(self.names["perturbations"])}
        needed = {data.pairs[row] for row in rows}
        if self.options.singles == "predicted":
            needed |= {gene for row in rows for gene in data.genes[row]}
        absent = sorted(needed - set(place))
        if absent:
            raise InputError(
                f"{len(absent)} perturbations were not predicted: {shown(absent)}; add tables to "
                "model.paths, keep the predicted pairs alone with task.only, or take "
                "model.singles=measured"
            )
        return super().predict(data, rows)

    def measures(self, data: InteractionData, row: int) -> dict[str, float]:
        """Of the predicted effect."""
        profiles = _profiles(data)
        place = {name: number for number, name in enumerate(self.names["perturbations"])}
        effects = self.arrays["effects"]
        singles = profiles.singles
        if self.options.singles == "predicted":
            singles = {gene: effects[place[gene]] for gene in data.genes[row]}
        return measure_pair(
            singles,
            effects[place[data.pairs[row]]],
            data.pairs[row],
            profiles.chosen[row],
            data.settings.fit,
        )


def read_predictions(path: Path, genes: Sequence[str]) -> dict[str, Floats]:
    """Predicted mean expression by perturbation ("A" or "A+B"); spellings are averaged.

    Raises:
        InputError: a gene has no column, or a value is not a number.
    """
    table = read_any(path, "perturbation")
    absent = [gene for gene in genes if f"{_PREFIX}{gene}" not in table]
    if absent:
        raise InputError(f"{path} has no predictions of {len(absent)} genes: {shown(absent)}")
    columns = [f"{_PREFIX}{gene}" for gene in genes]
    values = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        line, column = wrong[0]
        raise InputError(
            f"{path}, line {line + 2}, gene {genes[column]}: no number, in {len(wrong)} places"
        )
    names = [perturbation_of(as_condition(str(name))) for name in table["perturbation"]]
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        groups.setdefault(name, []).append(row)
    _LOG.info("%s: predictions of %d perturbations", path, len(groups))
    return {name: values[rows].mean(0) for name, rows in groups.items()}


def _profiles(data: InteractionData) -> Profiles:
    if data.profiles is None:
        raise InputError(
            "predicted expression needs measured expression beside it: prepare the data with the "
            "screen, and take task.source=profiles"
        )
    return data.profiles
