"""Models without training: effects that add up, no effect, chance."""

import math

import numpy as np

from sclong_tasks.genetic_interactions.data import InteractionData
from sclong_tasks.genetic_interactions.metrics import MEASURES
from sclong_tasks.genetic_interactions.models.base import PairModel
from sclong_tasks.genetic_interactions.profiles import measure_pair


class Additive(PairModel):
    """The pair does the sum of what its genes do: magnitude sqrt 2 for every pair.

    Where expression is known, the similarities are those of the sum; else only what is the same for
    every pair is predicted.
    """

    def measures(self, data: InteractionData, row: int) -> dict[str, float]:
        """Of the sum."""
        if data.profiles is None:
            return {"magnitude": math.sqrt(2), "model_fit": 1.0, "dominance": 0.0}
        singles = data.profiles.singles
        known = [singles[gene] for gene in data.genes[row] if gene in singles]
        effect = np.sum(known, axis=0) if known else np.zeros(len(data.profiles.genes))
        chosen = data.profiles.chosen[row]
        return measure_pair(singles, effect, data.pairs[row], chosen, data.settings.fit)


class NoChange(PairModel):
    """The pair does nothing."""

    def measures(self, data: InteractionData, row: int) -> dict[str, float]:
        """Zero, whatever the pair."""
        del data, row
        return {"magnitude": 0.0, "model_fit": 0.0, "similarity": 0.0, "dominance": 0.0}


class Random(PairModel):
    """Numbers that have nothing to do with the pair."""

    def measures(self, data: InteractionData, row: int) -> dict[str, float]:
        """By the seed and the name of the pair."""
        name = int.from_bytes(data.pairs[row].encode(), "little")
        generator = np.random.default_rng([int(self.arrays["seed"][0]), name])
        return dict(zip(MEASURES, generator.random(len(MEASURES)).tolist(), strict=True))
