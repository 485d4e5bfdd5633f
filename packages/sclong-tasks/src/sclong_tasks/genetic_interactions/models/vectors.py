"""Ridge regression on the vectors that an encoder has for the two genes of a pair."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder
from sclong_tasks.genetic_interactions.data import InteractionData
from sclong_tasks.genetic_interactions.models.trained import RidgeModel, RidgeOptions
from sclong_tasks.splits import Split
from sclong_tasks.task import Rows, RunContext


@dataclass
class VectorOptions(RidgeOptions):
    """Which encoder, and the regression."""

    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    """Of genes; their vectors stay as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)
        if self.encoder.tuning != "frozen":
            raise ConfigError("model.encoder.tuning: gene vectors stay as they are in this task")


class VectorsOfGenes(RidgeModel):
    """The sum of two genes' vectors and the size of their difference: the order does not matter.

    A gene that the encoder does not know has the mean of the others.
    """

    Options: ClassVar[type] = VectorOptions
    context: RunContext

    def fit(self, data: InteractionData, split: Split, context: RunContext) -> None:
        """Look the genes of all pairs up, and regress."""
        self.context = context
        super().fit(data, split, context)

    def learn(self, data: InteractionData, train: Rows) -> None:
        """Regress, and say whose vectors they are."""
        names = tuple(sorted({gene for pair in data.genes for gene in pair}))
        found = make_encoder(self.options.encoder, self.context, names).genes(names)
        self.names["genes"] = list(names)
        self.arrays["vectors"] = np.asarray(found.values, dtype=np.float64)
        super().learn(data, train)
        self.facts |= {**found.provenance, "coverage": found.coverage.describe()}

    def features(self, data: InteractionData, row: int) -> list[float]:
        """Of one pair.

        Raises:
            InputError: a gene is in none of the pairs that the run knew.
        """
        place = {gene: number for number, gene in enumerate(self.names["genes"])}
        absent = [gene for gene in data.genes[row] if gene not in place]
        if absent:
            raise InputError(
                f"{shown(absent)} has no vector: it is in none of the pairs of the run; remove "
                "the pair, or run the task with it"
            )
        first, second = (self.arrays["vectors"][place[gene]] for gene in data.genes[row])
        return [*(first + second).tolist(), *np.abs(first - second).tolist()]
