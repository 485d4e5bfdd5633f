"""Models that learn measures of training pairs, without expression: from genes, from fitness."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sklearn.linear_model import Ridge

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.genetic_interactions.data import FITNESS, InteractionData
from sclong_tasks.genetic_interactions.metrics import MEASURES
from sclong_tasks.genetic_interactions.models.base import Floats, PairModel
from sclong_tasks.genetic_interactions.reading import NEGATIVE
from sclong_tasks.task import Rows


@dataclass
class RidgeOptions:
    """Of the regression."""

    penalty: float = 1.0
    """On squared coefficients of features with unit variance."""

    def __post_init__(self) -> None:
        if not self.penalty > 0:
            raise ConfigError("model.penalty must be positive")


class RidgeModel(PairModel):
    """Ridge regression of every measure on features that do not depend on the genes' order."""

    Options: ClassVar[type] = RidgeOptions

    def learn(self, data: InteractionData, train: Rows) -> None:
        """Regress.

        Raises:
            InputError: there are no training pairs.
        """
        if len(train) < 2:
            raise InputError(
                f"{len(train)} training pairs: this model learns from pairs, choose the split "
                "simulation"
            )
        self.look(data, train)
        features = np.array([self.features(data, int(row)) for row in train])
        self.arrays["mean"] = features.mean(0)
        spread = features.std(0)
        self.arrays["spread"] = np.where(spread > 0, spread, 1.0)
        fitted = Ridge(alpha=self.options.penalty).fit(
            (features - self.arrays["mean"]) / self.arrays["spread"], data.measures[train]
        )
        self.arrays["weights"] = np.asarray(fitted.coef_)
        self.arrays["offset"] = np.asarray(fitted.intercept_)
        self.facts = {"training_pairs": len(train), "features": features.shape[1]}

    def look(self, data: InteractionData, train: Rows) -> None:
        """Keep what features need of the training pairs."""

    @abstractmethod
    def features(self, data: InteractionData, row: int) -> list[float]:
        """Of one pair."""

    def measures(self, data: InteractionData, row: int) -> dict[str, float]:
        """The regression."""
        features = np.array(self.features(data, row))
        scaled = (features - self.arrays["mean"]) / self.arrays["spread"]
        values: Floats = self.arrays["weights"] @ scaled + self.arrays["offset"]
        return dict(zip(MEASURES, values.tolist(), strict=True))


class GeneEffects(RidgeModel):
    """Each gene adds its part; a gene without training pairs adds nothing."""

    def look(self, data: InteractionData, train: Rows) -> None:
        """Genes of training pairs."""
        self.names["genes"] = sorted({gene for row in train for gene in data.genes[row]})

    def features(self, data: InteractionData, row: int) -> list[float]:
        """One for each gene of the pair."""
        return [float(gene in data.genes[row]) for gene in self.names["genes"]]


class FitnessOfGenes(RidgeModel):
    """From the fitness of cells in which either gene is perturbed: sum, difference, product."""

    def features(self, data: InteractionData, row: int) -> list[float]:
        """Of the two genes alone.

        Raises:
            InputError: fitness is not known.
        """
        first, second = (_fitness(data, gene, NEGATIVE) for gene in data.genes[row])
        return [first + second, abs(first - second), first * second]


class FitnessOfPair(FitnessOfGenes):
    """From measured fitness of the pair as well, and its difference from the sum: not additive."""

    def features(self, data: InteractionData, row: int) -> list[float]:
        """Of the genes alone and together."""
        found = super().features(data, row)
        together = _fitness(data, *data.genes[row])
        return [*found, together, together - found[0]]


def _fitness(data: InteractionData, first: str, second: str) -> float:
    if data.fitness is None:
        raise InputError(f"fitness is not known: the data were prepared without {FITNESS}")
    absent = [name for name in (first, second) if name not in data.fitness.index]
    if absent:
        raise InputError(f"{len(absent)} genes have no fitness: {shown(absent)}")
    return float(data.fitness.loc[first, second])
