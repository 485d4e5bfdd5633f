"""Linear models and trees on fingerprints of drugs and expression of cell lines.

Shapes: r rows, d drugs, l lines, f features.
"""

import json
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import write_json
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemistry.fingerprints import morgan_fingerprints
from sclong_tasks.drug_response.data import TARGET, DrugResponseData
from sclong_tasks.estimators import load_estimator, save_estimator
from sclong_tasks.settings import as_plain, resolve
from sclong_tasks.splits import Split
from sclong_tasks.task import Rows, RunContext, TaskModel

Floats = npt.NDArray[np.float32]


@dataclass
class FeatureOptions:
    """Of all models here."""

    bits: int = 512
    """Of the Morgan fingerprint."""
    radius: int = 2
    """Of the Morgan fingerprint."""
    expression_components: int = 0
    """Principal components of log1p expression over the training lines; 0 takes every gene."""
    drug_components: int = 0
    """Principal components of fingerprints over the training drugs; 0 takes every bit."""

    def __post_init__(self) -> None:
        if min(self.expression_components, self.drug_components) < 0:
            raise ConfigError("numbers of components must not be negative")


class ClassicalModel(TaskModel[DrugResponseData]):
    """A scikit-learn regressor of ln IC50 on features of drug and line side by side."""

    Options: ClassVar[type] = FeatureOptions
    cache: Path | None = None

    @abstractmethod
    def regressor(self, seed: int) -> Any:
        """A new one."""

    def fit(self, data: DrugResponseData, split: Split, context: RunContext) -> None:
        """Fit scalers and components on training lines and drugs, the regressor on their rows."""
        self.cache = context.cache
        self.genes = data.need_expression().genes
        line_lf, drug_df = self._raw(data)
        lines, drugs = (np.unique(codes[split.train]) for codes in (data.line, data.drug))
        self.parts = self.reducers(line_lf[lines], drug_df[drugs], context.seed)
        regressor = self.regressor(context.seed)
        regressor.fit(self._features(data, split.train), data.target[split.train])
        self.parts["model"] = regressor

    def reducers(self, line_lf: Floats, drug_df: Floats, seed: int) -> dict[str, Any]:
        """Fitted to distinct training lines and drugs."""
        return {
            "line": _reducer(line_lf, self.options.expression_components, seed),
            "drug": _reducer(drug_df, self.options.drug_components, seed),
        }

    def predict(self, data: DrugResponseData, rows: Rows) -> pd.DataFrame:
        """Predict in blocks of rows."""
        found = [
            self.parts["model"].predict(self._features(data, block))
            for block in np.array_split(rows, max(1, len(rows) // 20_000))
        ]
        return pd.DataFrame({TARGET: np.concatenate(found).astype(np.float64)}, index=rows)

    def save(self, folder: Path) -> None:
        """Estimators with skops."""
        for name, part in self.parts.items():
            if part is not None:
                save_estimator(folder / f"{name}.skops", part)
        facts = {
            "genes": list(self.genes),
            "options": as_plain(self.options),
            "parts": list(self.parts),
        }
        write_json(folder / "facts.json", facts)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        model = cls(resolve(cls.Options, context.protocol, facts["options"], "model"))
        paths = {name: folder / f"{name}.skops" for name in facts["parts"]}
        model.parts = {
            name: load_estimator(path) if path.exists() else None for name, path in paths.items()
        }
        model.genes, model.cache = tuple(facts["genes"]), context.cache
        return model

    def _raw(self, data: DrugResponseData) -> tuple[Floats, Floats]:
        expression = data.need_expression()
        if expression.genes != self.genes:
            raise InputError("the expression has other genes than the model was fitted to")
        prints = morgan_fingerprints(
            data.molecules,
            radius=self.options.radius,
            bits=self.options.bits,
            cache=ContentCache(self.cache),
        )
        return expression.log1p, np.asarray(prints, dtype=np.float32)

    def _features(self, data: DrugResponseData, rows: Rows) -> Floats:
        line_lf, drug_df = self._raw(data)
        sides = (("line", line_lf, data.line), ("drug", drug_df, data.drug))
        blocks = [_reduced(self.parts[name], values)[codes[rows]] for name, values, codes in sides]
        return np.concatenate(blocks, axis=1)


@dataclass
class RidgeOptions(FeatureOptions):
    """Of the linear models."""

    alpha: float = 100.0
    """Ridge penalty: that of so many rows of zero for a feature of variance 1."""


class Linear(ClassicalModel):
    """Ridge on every bit of the fingerprint and every gene.

    The paper does not say which features its linear model has; these are the plainest.
    """

    Options: ClassVar[type] = RidgeOptions

    def regressor(self, seed: int) -> Any:
        """Ridge regression by Cholesky's decomposition."""
        del seed
        return Ridge(alpha=self.options.alpha, solver="cholesky")


@dataclass
class RidgePcaOptions(RidgeOptions):
    """Of :class:`RidgePca`."""

    expression_components: int = 64
    interactions: int = 16
    """Principal components of expression, and twice as many of fingerprints, whose products are
    features too; 0 leaves them out, and gives every drug the same order of cell lines."""


class RidgePca(Linear):
    """Ridge on fingerprints, principal components of expression, and products of the two."""

    Options: ClassVar[type] = RidgePcaOptions

    def reducers(self, line_lf: Floats, drug_df: Floats, seed: int) -> dict[str, Any]:
        """One more, for products."""
        found = super().reducers(line_lf, drug_df, seed)
        if self.options.interactions:
            found["product"] = _reducer(drug_df, 2 * self.options.interactions, seed)
        return found

    def _features(self, data: DrugResponseData, rows: Rows) -> Floats:
        plain = super()._features(data, rows)
        few = self.options.interactions
        if not few:
            return plain
        _, drug_df = self._raw(data)
        drug_rf = _reduced(self.parts["product"], drug_df)[data.drug[rows]]
        components = self.parts["line"].n_components_ if self.parts["line"] is not None else few
        line_rf = plain[:, : min(few, components)]
        products = line_rf[:, :, None] * drug_rf[:, None, :]
        return np.concatenate([plain, products.reshape(len(rows), -1)], axis=1)


@dataclass
class TreeOptions(FeatureOptions):
    """Of trees: components keep them fast on a hundred thousand rows."""

    expression_components: int = 32
    drug_components: int = 64
    trees: int = 100
    """How many, at most."""


class RandomForest(ClassicalModel):
    """Random forest."""

    Options: ClassVar[type] = TreeOptions

    def regressor(self, seed: int) -> Any:
        """Trees over a third of the features and half of the rows."""
        return RandomForestRegressor(
            self.options.trees,
            max_features=1 / 3,
            max_samples=0.5,
            min_samples_leaf=5,
            random_state=seed,
            n_jobs=1,
        )


@dataclass
class BoostingOptions(TreeOptions):
    """Of gradient boosting."""

    trees: int = 300
    learning_rate: float = 0.1
    leaves: int = 63
    """Of each tree."""


class GradientBoosting(ClassicalModel):
    """Gradient-boosted trees over histograms of the features."""

    Options: ClassVar[type] = BoostingOptions

    def regressor(self, seed: int) -> Any:
        """As LightGBM grows them, all of them."""
        return HistGradientBoostingRegressor(
            max_iter=self.options.trees,
            learning_rate=self.options.learning_rate,
            max_leaf_nodes=self.options.leaves,
            early_stopping=False,
            random_state=seed,
        )


def _reducer(values: Floats, components: int, seed: int) -> Any:
    """Principal components, at most as many as there are; None leaves values as they are."""
    if not components:
        return None
    return PCA(min(components, *values.shape), random_state=seed).fit(values)


def _reduced(reducer: Any, values: Floats) -> Floats:
    found = values if reducer is None else reducer.transform(values)
    return np.asarray(found, dtype=np.float32)
