"""Without a network: scikit-learn on fingerprints and expression, and shares of names alone."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sclong_core.errors import ConfigError
from sclong_core.files import write_json
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemistry.fingerprints import morgan_fingerprints
from sclong_tasks.drug_combination.data import TARGET, CombinationData
from sclong_tasks.estimators import load_estimator, save_estimator
from sclong_tasks.settings import as_plain
from sclong_tasks.splits import Split
from sclong_tasks.task import ProtocolName, Rows, RunContext, TaskModel

Floats = npt.NDArray[np.float32]
_FILES = ("classifier.skops", "expression.skops", "options.json")


@dataclass
class ClassicalOptions:
    """Features of rows."""

    radius: int = 2
    """Of Morgan fingerprints."""
    bits: int = 1024
    """Their length."""
    symmetric: bool = True
    """Add the fingerprints of both drugs; else put one after the other (order-dependent, fault of
    the original)."""
    log: bool = True
    """log1p of expression."""
    components: int = 30
    """Principal components of the standardised expression of the training cell lines; 0 takes all
    genes."""

    def __post_init__(self) -> None:
        if self.components < 0:
            raise ConfigError("components must not be negative")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """Published: fingerprints one after the other, and expression as it is."""
        if protocol == "honest":
            return cls()
        return cls(symmetric=False, log=False, components=0)


class Classical(TaskModel[CombinationData]):
    """A classifier on fingerprints and expression."""

    Options: ClassVar[type] = ClassicalOptions
    classifier: Any
    expression: Any

    @abstractmethod
    def make(self, seed: int) -> Any:
        """The classifier."""

    def fit(self, data: CombinationData, split: Split, context: RunContext) -> None:
        """Fit to the training rows; validation rows are not used."""
        self._cache = ContentCache(context.cache)
        lines = np.unique(data.cell[split.train])
        steps = [StandardScaler()]
        if self.options.components:
            # Centred lines span one dimension less than there are; one more would be noise.
            most = min(max(1, len(lines) - 1), len(data.expression.genes))
            components = min(self.options.components, most)
            steps.append(PCA(components, svd_solver="full"))
        self.expression = make_pipeline(*steps).fit(self._expression(data)[lines])
        self.classifier = self.make(context.seed)
        self.classifier.fit(self.features(data, split.train), data.synergy[split.train].astype(int))

    def features(self, data: CombinationData, rows: Rows) -> Floats:
        """``(rows, features)``: drugs, then cell line."""
        options = self.options
        prints = morgan_fingerprints(
            data.molecules, radius=options.radius, bits=options.bits, cache=self._cache
        )
        first, second = prints[data.first[rows]], prints[data.second[rows]]
        drugs = [first + second] if options.symmetric else [first, second]
        cells = self.expression.transform(self._expression(data)).astype(np.float32)
        return np.concatenate([*drugs, cells[data.cell[rows]]], axis=1)

    def _expression(self, data: CombinationData) -> Floats:
        return data.expression.log1p if self.options.log else data.expression.values

    def predict(self, data: CombinationData, rows: Rows) -> pd.DataFrame:
        """Probabilities of synergy."""
        score = self.classifier.predict_proba(self.features(data, rows))[:, 1]
        return pd.DataFrame({TARGET: score}, index=rows)

    def save(self, folder: Path) -> None:
        """Estimators by skops, options as JSON."""
        for file, estimator in zip(_FILES, (self.classifier, self.expression), strict=False):
            save_estimator(folder / file, estimator)
        write_json(folder / _FILES[2], as_plain(self.options))

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        model = cls(cls.Options(**json.loads((folder / _FILES[2]).read_text(encoding="utf-8"))))
        model._cache = ContentCache(context.cache)
        model.classifier, model.expression = (load_estimator(folder / f) for f in _FILES[:2])
        return model


@dataclass
class ForestOptions(ClassicalOptions):
    """Of the random forest."""

    trees: int = 200
    """Number of trees."""
    leaf: int = 1
    """Least rows of a leaf."""


class RandomForest(Classical):
    """Random forest."""

    Options: ClassVar[type] = ForestOptions

    def make(self, seed: int) -> Any:
        """200 trees by default."""
        return RandomForestClassifier(
            self.options.trees, min_samples_leaf=self.options.leaf, random_state=seed
        )


@dataclass
class BoostingOptions(ClassicalOptions):
    """Of gradient-boosted trees."""

    iterations: int = 100
    """Number of trees."""
    learning_rate: float = 0.1
    """Of each tree."""


class GradientBoosting(Classical):
    """Gradient-boosted trees over binned features."""

    Options: ClassVar[type] = BoostingOptions

    def make(self, seed: int) -> Any:
        """100 trees by default, no stopping by a part of the training rows."""
        return HistGradientBoostingClassifier(
            max_iter=self.options.iterations,
            learning_rate=self.options.learning_rate,
            early_stopping=False,
            random_state=seed,
        )


@dataclass
class LogisticOptions(ClassicalOptions):
    """Of logistic regression."""

    inverse_penalty: float = 0.1
    """scikit-learn's C."""


class Logistic(Classical):
    """Logistic regression with a ridge penalty on standardised features."""

    Options: ClassVar[type] = LogisticOptions

    def make(self, seed: int) -> Any:
        """At most 300 iterations."""
        del seed
        regression = LogisticRegression(C=self.options.inverse_penalty, max_iter=300)
        return make_pipeline(StandardScaler(), regression)


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
