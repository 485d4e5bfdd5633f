"""Classifiers of cell types: one regression on many vectors, and what is worth less than that.

Every model gives a probability for each type of training. The vectors of an encoder are told apart
by the same regression as components are, so that a comparison is one of vectors.
"""

import json
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from sclong_core.array_files import read_arrays
from sclong_core.errors import ConfigError, InputError
from sclong_core.files import write_json
from sclong_tasks.batch_integration.models.simple import highly_variable
from sclong_tasks.cell_type_annotation.data import AnnotationData
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder
from sclong_tasks.finetuning.scores import macro_f1
from sclong_tasks.settings import as_plain
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

_FACTS, _ARRAYS = "model.json", "arrays.npz"
_STRENGTHS = (0.01, 0.1, 1.0)
_NEIGHBOURS = 15
Values = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]


class TypeModel(TaskModel[AnnotationData]):
    """What all share: types of training, arrays and facts in files."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.types: list[str] = []
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.facts: dict[str, Any] = {}
        self.context: RunContext | None = None

    def fit(self, data: AnnotationData, split: Split, context: RunContext) -> None:
        """Learn from the training cells; choose by the validation cells."""
        self.context = context
        self.types = sorted(set(data.cell_type[split.train].tolist()))
        codes = np.searchsorted(self.types, data.cell_type).astype(np.int64)
        self.learn(data, codes, split, context.seed)

    @abstractmethod
    def learn(self, data: AnnotationData, codes: Codes, split: Split, seed: int) -> None:
        """Fill ``arrays``; codes of hidden cells mean nothing."""

    @abstractmethod
    def probabilities(self, data: AnnotationData) -> npt.NDArray[np.float64]:
        """``(cells, types)`` of all cells."""

    def predict(self, data: AnnotationData, rows: Rows) -> pd.DataFrame:
        """Probabilities of the types of training."""
        return pd.DataFrame(self.probabilities(data)[rows], index=rows, columns=self.types)

    def save(self, folder: Path) -> None:
        """Write options, types and arrays."""
        options = as_plain(self.options)
        content = {"options": options, "types": self.types, "facts": self.facts}
        write_json(folder / _FACTS, {**content, "arrays": sorted(self.arrays)})
        arrays: dict[str, Any] = dict(self.arrays)
        np.savez_compressed(folder / _ARRAYS, **arrays)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: a file is missing or damaged.
        """
        try:
            content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            model = cls(cls.Options(**content["options"]))
            model.types, model.facts = list(map(str, content["types"])), content["facts"]
            model.arrays = read_arrays(folder / _ARRAYS, content["arrays"], "a model")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no model: {error}") from error
        model.context = context
        return model

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return dict(self.facts)


class Commonest(TypeModel):
    """Floor: every cell is of the commonest type of training."""

    def learn(self, data: AnnotationData, codes: Codes, split: Split, seed: int) -> None:
        """Count."""
        del data, seed
        counts = np.bincount(codes[split.train], minlength=len(self.types))
        self.arrays["shares"] = np.eye(len(self.types))[counts.argmax()]

    def probabilities(self, data: AnnotationData) -> npt.NDArray[np.float64]:
        """The same for every cell."""
        return np.tile(self.arrays["shares"], (len(data.cell_type), 1))


@dataclass
class ComponentOptions:
    """Of highly variable genes of the training cells."""

    genes: int = 2000
    components: int = 50

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if min(self.genes, self.components) < 1:
            raise ConfigError("model.genes and components start at 1")


class Regression(TypeModel):
    """Logistic regression on principal components; types count alike."""

    Options: ClassVar[type] = ComponentOptions

    def learn(self, data: AnnotationData, codes: Codes, split: Split, seed: int) -> None:
        """Fit components and regression; the penalty is chosen on the validation cells."""
        vectors = self.vectors(data, split)
        centre = vectors[split.train].mean(0)
        scale = np.maximum(vectors[split.train].std(0), 1e-6)
        self.arrays |= {"centre": centre, "scale": scale}
        placed = (vectors - centre) / scale
        train, best = self._training(codes[split.train], seed), -1.0
        for strength in _STRENGTHS:
            made = LogisticRegression(C=strength, class_weight="balanced", max_iter=500)
            made.fit(placed[split.train], train)
            told = made.predict(placed[split.validation])
            found = macro_f1(codes[split.validation], told)
            if found > best:
                # With two types there is one row of coefficients: the other's are 0.
                two = len(self.types) == 2
                coefficients = np.vstack([0 * made.coef_, made.coef_]) if two else made.coef_
                constants = np.r_[0, made.intercept_] if two else made.intercept_
                best, self.facts["strength"] = found, strength
                self.arrays |= {"coefficients": coefficients, "constants": constants}

    def _training(self, codes: Codes, seed: int) -> Codes:
        del seed
        return codes

    def probabilities(self, data: AnnotationData) -> npt.NDArray[np.float64]:
        """By the regression."""
        placed = (self.vectors(data) - self.arrays["centre"]) / self.arrays["scale"]
        logits = placed @ self.arrays["coefficients"].T + self.arrays["constants"]
        return np.asarray(softmax(logits, axis=1))

    def vectors(self, data: AnnotationData, split: Split | None = None) -> Values:
        """Components; with a split they are fitted on its training cells first."""
        if split is not None:
            logged = data.expression.log1p[split.train]
            chosen = highly_variable(logged, self.options.genes)
            self.arrays["genes"] = np.array(data.expression.genes)[chosen]
            values = logged[:, chosen].astype(np.float64)
            found = PCA(min(self.options.components, *values.shape), svd_solver="full").fit(values)
            self.arrays |= {"mean": found.mean_, "axes": found.components_}
        around = data.values(self.arrays["genes"]) - self.arrays["mean"]
        return np.asarray(around @ self.arrays["axes"].T, dtype=np.float32)


class Permuted(Regression):
    """Floor: the same regression, learned from permuted types."""

    def _training(self, codes: Codes, seed: int) -> Codes:
        return np.random.default_rng(seed).permutation(codes)


class Neighbours(Regression):
    """The types of the nearest training cells, in components."""

    def learn(self, data: AnnotationData, codes: Codes, split: Split, seed: int) -> None:
        """Keep the training cells."""
        del seed
        vectors = self.vectors(data, split)[split.train]
        self.arrays |= {"voters": vectors, "codes": codes[split.train]}

    def probabilities(self, data: AnnotationData) -> npt.NDArray[np.float64]:
        """Shares of the votes."""
        voters, codes = self.arrays["voters"], self.arrays["codes"]
        made = KNeighborsClassifier(min(_NEIGHBOURS, len(codes))).fit(voters, codes)
        return np.asarray(made.predict_proba(self.vectors(data)), dtype=np.float64)


@dataclass
class EncodedOptions:
    """Which encoder, and how genes become a cell."""

    pool: str = "gene_mean"
    """Of scLong: "gene_mean", "expressed_mean", "channel_mean" (one number a gene), or "cell", its
    own vector, of a model that has one."""
    encoder: EncoderOptions = field(default_factory=EncoderOptions)

    def __post_init__(self) -> None:
        """Take options as they are written in files, too."""
        if isinstance(self.encoder, dict):
            self.encoder = EncoderOptions(**self.encoder)


class Encoded(Regression):
    """The regression on an encoder's vectors of cells."""

    Options: ClassVar[type] = EncodedOptions

    def vectors(self, data: AnnotationData, split: Split | None = None) -> Values:
        """One a cell; the encoder learns nothing here."""
        del split
        assert self.context is not None
        options = replace(self.options.encoder, pool=self.options.pool)
        found = make_encoder(options, self.context, data.expression.genes).cells(data.expression)
        self.facts |= {**found.provenance, "coverage": found.coverage.describe()}
        return np.asarray(found.values, dtype=np.float32).reshape(len(data.cell_type), -1)
