"""Models of pairs of genes: without training, by ridge regression, and of predicted expression.

Two kinds of tables with predictions are read: ``predictions.parquet`` of a run of genetic
perturbation, and what ``sclong task predict genetic_perturbation`` writes. Either has a column
``perturbation`` and one column ``predicted_GENE`` for each gene.
"""

import json
import logging
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import Ridge

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import write_json
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder
from sclong_tasks.genetic_interactions.data import FITNESS, InteractionData
from sclong_tasks.genetic_interactions.metrics import MEASURES
from sclong_tasks.genetic_interactions.profiles import Profiles, measure_pair
from sclong_tasks.genetic_interactions.reading import NEGATIVE, read_any
from sclong_tasks.genetic_perturbation.conditions import as_condition, perturbation_of
from sclong_tasks.settings import as_plain
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, ProtocolName, Rows, RunContext, TaskModel

Floats = npt.NDArray[np.float64]
_ARRAYS, _FACTS = "arrays.npz", "model.json"


class PairModel(TaskModel[InteractionData]):
    """Measures of pairs; not necessarily all of them."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.arrays: dict[str, Floats] = {}
        """What was learnt."""
        self.names: dict[str, list[str]] = {}
        """Of rows and columns of arrays."""
        self.facts: dict[str, Any] = {}

    def fit(self, data: InteractionData, split: Split, context: RunContext) -> None:
        """Learn from training pairs."""
        self.arrays["seed"] = np.array([context.seed], dtype=np.float64)
        self.learn(data, split.train)

    def learn(self, data: InteractionData, train: Rows) -> None:
        """Fill ``arrays``, ``names`` and ``facts``."""

    @abstractmethod
    def measures(self, data: InteractionData, row: int) -> dict[str, float]:
        """Of one pair."""

    def predict(self, data: InteractionData, rows: Rows) -> pd.DataFrame:
        """One line a pair, one column a measure."""
        return pd.DataFrame([self.measures(data, int(row)) for row in rows], index=rows)

    def save(self, folder: Path) -> None:
        """Arrays as npz, the rest as JSON."""
        np.savez_compressed(folder / _ARRAYS, allow_pickle=False, **self.arrays)
        content = {"options": as_plain(self.options), "names": self.names, "facts": self.facts}
        write_json(folder / _FACTS, content)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: a file is missing or damaged.
        """
        del context
        try:
            content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            model = cls(cls.Options(**content["options"]))
            model.names, model.facts = content["names"], content["facts"]
            with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
                model.arrays = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no model: {error}") from error
        return model

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return dict(self.facts)


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
