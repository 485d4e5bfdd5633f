"""Models that know nothing but which drug and which cell line a row names.

Shapes: r rows, l lines, d drugs, k singular values.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError
from sclong_core.files import write_json
from sclong_tasks.drug_response.data import TARGET, DrugResponseData
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
_FILE = "identity.npz"


class IdentityModel(TaskModel[DrugResponseData]):
    """A number for each drug and line, by name; what is not known adds nothing."""

    Options: ClassVar[type] = NoOptions

    mean: float
    lines: dict[str, int]
    drugs: dict[str, int]
    line_effect_l: Floats
    drug_effect_d: Floats
    residual_ld: Floats

    def fit(self, data: DrugResponseData, split: Split, context: RunContext) -> None:
        """Fit to the training rows."""
        del context
        table = data.table.iloc[split.train]
        self.lines, line_r = _code(table["line"])
        self.drugs, drug_r = _code(data.compound[split.train])
        target_r = data.target[split.train]
        self.mean = float(target_r.mean())
        self.line_effect_l = np.zeros(len(self.lines))
        self.drug_effect_d = np.zeros(len(self.drugs))
        self.residual_ld = np.zeros((0, 0))
        self.fit_effects(line_r, drug_r, target_r - self.mean)

    def fit_effects(self, line_r: Codes, drug_r: Codes, centred_r: Floats) -> None:
        """Set effects and residual; the mean alone by default."""

    def predict(self, data: DrugResponseData, rows: Rows) -> pd.DataFrame:
        """Sum of what is known of line and drug."""
        line_r = _look_up(data.table["line"].iloc[rows], self.lines)
        drug_r = _look_up(data.compound[rows], self.drugs)
        predicted = (
            self.mean + _take(self.line_effect_l, line_r) + _take(self.drug_effect_d, drug_r)
        )
        if self.residual_ld.size:
            both = (line_r >= 0) & (drug_r >= 0)
            predicted[both] += self.residual_ld[line_r[both], drug_r[both]]
        return pd.DataFrame({TARGET: predicted}, index=rows)

    def save(self, folder: Path) -> None:
        """Effects as npz, names as JSON."""
        np.savez_compressed(
            folder / _FILE,
            mean=self.mean,
            line_effect=self.line_effect_l,
            drug_effect=self.drug_effect_d,
            residual=self.residual_ld,
        )
        write_json(folder / "names.json", {"lines": self.lines, "drugs": self.drugs})

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        del context
        model = cls(cls.Options())
        names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        model.lines, model.drugs = names["lines"], names["drugs"]
        with np.load(folder / _FILE, allow_pickle=False) as arrays:
            model.mean = float(arrays["mean"])
            model.line_effect_l, model.drug_effect_d = arrays["line_effect"], arrays["drug_effect"]
            model.residual_ld = arrays["residual"]
        return model

    def describe(self) -> dict[str, int]:
        """How many it knows."""
        return {"known_lines": len(self.lines), "known_drugs": len(self.drugs)}


class Mean(IdentityModel):
    """The mean of all training rows: the floor."""


class DrugMean(IdentityModel):
    """The training mean of the drug."""

    def fit_effects(self, line_r: Codes, drug_r: Codes, centred_r: Floats) -> None:
        """Means by drug."""
        del line_r
        self.drug_effect_d = _means(drug_r, centred_r, len(self.drugs))


@dataclass
class OffsetOptions:
    """Of :class:`Offsets`."""

    shrinkage: float = 2.0
    """Rows of zero that are added to those of each line."""
    iterations: int = 30
    """Alternations between drugs and lines."""

    def __post_init__(self) -> None:
        if self.shrinkage < 0 or self.iterations < 1:
            raise ConfigError("shrinkage must not be negative, iterations at least 1")


class Offsets(IdentityModel):
    """Drug effect plus shrunken line effect, by alternation."""

    Options: ClassVar[type] = OffsetOptions

    def fit_effects(self, line_r: Codes, drug_r: Codes, centred_r: Floats) -> None:
        """Alternate until both are settled."""
        for _ in range(self.options.iterations):
            rest_r = centred_r - self.line_effect_l[line_r]
            self.drug_effect_d = _means(drug_r, rest_r, len(self.drugs))
            rest_r = centred_r - self.drug_effect_d[drug_r]
            self.line_effect_l = _means(
                line_r, rest_r, len(self.lines), extra=self.options.shrinkage
            )


@dataclass
class LowRankOptions(OffsetOptions):
    """Of :class:`LowRank`."""

    threshold: float = 20.0
    """Subtracted from each singular value."""
    rounds: int = 40
    """Of filling in and shrinking."""


class LowRank(Offsets):
    """Offsets plus low-rank completion of what they leave: soft-impute (Mazumder et al. 2010)."""

    Options: ClassVar[type] = LowRankOptions

    def fit_effects(self, line_r: Codes, drug_r: Codes, centred_r: Floats) -> None:
        """Offsets, then soft-impute of the mean residual of each pair."""
        super().fit_effects(line_r, drug_r, centred_r)
        rest_r = centred_r - self.line_effect_l[line_r] - self.drug_effect_d[drug_r]
        shape = (len(self.lines), len(self.drugs))
        sums, counts = np.zeros(shape), np.zeros(shape)
        np.add.at(sums, (line_r, drug_r), rest_r)
        np.add.at(counts, (line_r, drug_r), 1)
        observed_ld = counts > 0
        mean_ld = np.divide(sums, counts, out=np.zeros(shape), where=observed_ld)
        self.residual_ld = soft_impute(
            mean_ld, observed_ld, self.options.threshold, self.options.rounds
        )


def soft_impute(
    values_ld: Floats, observed_ld: npt.NDArray[np.bool_], threshold: float, rounds: int
) -> Floats:
    """Fill a matrix in by a low-rank one.

    In each round missing values are those of the last estimate, and the singular values of the
    whole are reduced by ``threshold``.
    """
    estimate_ld = np.zeros_like(values_ld)
    for _ in range(rounds):
        filled_ld = np.where(observed_ld, values_ld, estimate_ld)
        left, singular_k, right = np.linalg.svd(filled_ld, full_matrices=False)
        estimate_ld = (left * np.maximum(singular_k - threshold, 0)) @ right
    return estimate_ld


def _code(
    names: Sequence[str] | pd.Series | npt.NDArray[np.object_],
) -> tuple[dict[str, int], Codes]:
    unique, codes = np.unique(np.asarray(names).astype(str), return_inverse=True)
    return {str(name): place for place, name in enumerate(unique)}, codes.astype(np.int64)


def _look_up(names: pd.Series | npt.NDArray[np.object_], known: dict[str, int]) -> Codes:
    return np.array([known.get(str(name), -1) for name in names], dtype=np.int64)


def _take(effects: Floats, codes: Codes) -> Floats:
    """Effects of known codes, 0 of unknown ones (-1)."""
    return np.append(effects, 0.0)[codes]


def _means(codes: Codes, values: Floats, size: int, *, extra: float = 0.0) -> Floats:
    counts = np.bincount(codes, minlength=size) + extra
    found: Floats = np.bincount(codes, values, minlength=size) / np.maximum(counts, 1e-12)
    return found
