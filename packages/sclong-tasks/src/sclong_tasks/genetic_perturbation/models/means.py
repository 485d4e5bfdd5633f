"""Models that average: no change, training mean, perturbed mean, matching mean."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from sclong_core.errors import ConfigError
from sclong_tasks.genetic_perturbation.data import PerturbationData, mean_of
from sclong_tasks.genetic_perturbation.models.base import (
    Floats,
    MeanModel,
    Targets,
    look_up,
    single_means,
)
from sclong_tasks.splits import Split
from sclong_tasks.task import ProtocolName, Rows, RunContext


@dataclass
class NoChangeOptions:
    """Of :class:`NoChange`."""

    control: str = "all"
    """"all" control cells, or as many drawn with replacement as the condition has cells ("drawn"),
    as published: their correlation with any change is noise of the draw."""

    def __post_init__(self) -> None:
        if self.control not in ("all", "drawn"):
            raise ConfigError(f"model.control must be all or drawn, not {self.control!r}")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "NoChangeOptions":
        """As published: drawn."""
        return cls("drawn" if protocol == "published" else "all")


class NoChange(MeanModel):
    """Control cells as they are."""

    Options: ClassVar[type] = NoChangeOptions

    def fit(self, data: PerturbationData, split: Split, context: RunContext) -> None:
        """Remember the seed of the draws, and how they are made."""
        super().fit(data, split, context)
        self.arrays["seed"] = np.array([context.seed], dtype=np.float64)
        self.arrays["drawn"] = np.array([self.options.control == "drawn"], dtype=np.float64)

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """Nothing beyond the control."""

    def predict_one(self, targets: Targets) -> Floats:
        """The mean of all control cells."""
        del targets
        return self.arrays["control"]

    def predict(self, data: PerturbationData, rows: Rows) -> pd.DataFrame:
        """The mean of control cells, all or drawn; all where the number of cells is not known."""
        found = super().predict(data, rows)
        if not self.arrays["drawn"][0]:
            return found
        for place, row in enumerate(rows):
            cells = int(data.table["cells"].iloc[row])
            if cells:
                generator = np.random.default_rng([int(self.arrays["seed"][0]), int(row)])
                drawn = generator.integers(data.control.shape[0], size=cells)
                found.iloc[place] = mean_of(data.control[drawn])
        return found


class TrainingMean(MeanModel):
    """The mean of all cells that may be seen: control cells and those of training conditions."""

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """One vector."""
        counts = data.table["cells"].to_numpy()[train]
        control = data.control.shape[0]
        total = control * data.control_mean + counts @ data.means[train]
        self.arrays["mean"] = total / (control + counts.sum())

    def predict_one(self, targets: Targets) -> Floats:
        """The same for every condition."""
        del targets
        return self.arrays["mean"]


class PerturbedMean(TrainingMean):
    """The mean of the means of training conditions, without control."""

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """One vector."""
        self.arrays["mean"] = data.means[train].mean(axis=0)


class MatchingMean(PerturbedMean):
    """The mean of what each of the genes does alone; the perturbed mean for a gene never seen."""

    def learn(self, data: PerturbationData, train: Rows) -> None:
        """One vector a gene."""
        super().learn(data, train)
        self.names["singles"], self.arrays["singles"] = single_means(data, train)

    def predict_one(self, targets: Targets) -> Floats:
        """The mean over genes."""
        found = []
        for gene in targets:
            place = look_up(self.names["singles"], gene)
            found.append(self.arrays["mean"] if place is None else self.arrays["singles"][place])
        mean: Floats = np.mean(found, axis=0)
        return mean
