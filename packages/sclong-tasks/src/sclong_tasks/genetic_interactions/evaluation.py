"""Metrics of test pairs: the magnitude as a number, as a ranking, and the classes of pairs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_tasks.genetic_interactions.config import InteractionSettings
from sclong_tasks.genetic_interactions.data import InteractionData
from sclong_tasks.genetic_interactions.metrics import MEASURES, overlap
from sclong_tasks.metrics.correlation import pearson, spearman
from sclong_tasks.metrics.delong import auroc
from sclong_tasks.metrics.intervals import bootstrap_interval
from sclong_tasks.splits import Split
from sclong_tasks.task import Metric

Floats = npt.NDArray[np.float64]
_FEWEST = 3


@dataclass(frozen=True)
class ClassRule:
    """Which measure tells a class from the others, as GEARS reads it."""

    members: tuple[str, ...]
    measure: str
    high: bool = True
    """Whether members have high values, or low ones."""
    around: float | None = None
    """Members are near this value: the distance from it counts."""

    def score(self, values_p: Floats) -> Floats:
        """Higher for what is more likely a member."""
        values = values_p if self.around is None else np.abs(values_p - self.around)
        return values if self.high else -values


RULES: Mapping[str, ClassRule] = {
    "synergy": ClassRule(
        ("SYNERGY_SIMILAR_PHENO", "SYNERGY_DISSIMILAR_PHENO", "POTENTIATION"), "magnitude"
    ),
    "suppressor": ClassRule(("SUPPRESSOR",), "magnitude", high=False),
    "additive": ClassRule(("ADDITIVE",), "magnitude", high=False, around=1.0),
    "neomorphic": ClassRule(("NEOMORPHIC",), "model_fit", high=False),
    "redundant": ClassRule(("REDUNDANT",), "similarity"),
    "epistasis": ClassRule(("EPISTASIS",), "dominance"),
}
"""By the name of the stratum."""


def measure(
    data: InteractionData,
    predictions: pd.DataFrame,
    split: Split,
    strata: Mapping[str, npt.NDArray[np.bool_]],
    settings: InteractionSettings,
) -> list[Metric]:
    """All metrics that the predicted measures allow; NaN where one is not defined.

    Args:
        data: with all targets.
        predictions: columns of ``MEASURES``, not necessarily all.
        split: whose test rows are measured.
        strata: parts of the test rows.
        settings: sizes and draws.
    """
    truth = data.truth.iloc[split.test]
    found: list[Metric] = []
    if "magnitude" in predictions:
        true = truth["magnitude"].to_numpy(dtype=np.float64)
        predicted = predictions["magnitude"].to_numpy(dtype=np.float64)
        found += _correlations(true, predicted, strata, settings.bootstrap)
        found += _overlaps(true, predicted, settings)
    found += [
        _over_pairs(
            f"pearson_{name}",
            pearson(truth[name].to_numpy(), predictions[name].to_numpy()),
            len(truth),
        )
        for name in MEASURES[1:]
        if name in predictions
    ]
    return found + _classes(data.classes[split.test], predictions)


def _correlations(
    true: Floats,
    predicted: Floats,
    strata: Mapping[str, npt.NDArray[np.bool_]],
    draws: int,
) -> list[Metric]:
    low, high = bootstrap_interval(
        lambda rows: pearson(true[rows], predicted[rows]), np.arange(len(true)), draws=draws
    )
    found = [
        _over_pairs("pearson_magnitude", pearson(true, predicted), len(true), low=low, high=high),
        _over_pairs("spearman_magnitude", spearman(true, predicted), len(true)),
    ]
    for stratum, rows in strata.items():
        count = int(rows.sum())
        value = pearson(true[rows], predicted[rows]) if count >= _FEWEST else float("nan")
        found.append(_over_pairs("pearson_magnitude", value, count, stratum=stratum))
    return found


def _overlaps(true: Floats, predicted: Floats, settings: InteractionSettings) -> list[Metric]:
    found = []
    for kind, sign in (("synergy", 1.0), ("suppressor", -1.0)):
        one = overlap(
            sign * true, sign * predicted, settings.top, permutations=settings.permutations, seed=0
        )
        found += [
            _over_pairs(f"{kind}_overlap", one.shared, len(true)),
            _over_pairs(f"{kind}_p", one.p_value, len(true), higher=False),
        ]
    return [*found, _over_pairs("overlap_by_chance", one.by_chance, len(true))]


def _classes(classes: npt.NDArray[np.str_], predictions: pd.DataFrame) -> list[Metric]:
    """Of pairs that have a class, those of one against those of all others."""
    known = classes != ""
    found = []
    for stratum, rule in RULES.items():
        if rule.measure not in predictions or not known.any():
            continue
        values = predictions[rule.measure].to_numpy(dtype=np.float64)[known]
        members = np.isin(classes[known], rule.members)
        area = auroc(members, np.round(rule.score(values), 9))
        low, high = (None if np.isnan(end) else float(end) for end in (area.low, area.high))
        count = int(members.sum())
        found.append(
            _over_pairs("class_auroc", area.value, count, stratum=stratum, low=low, high=high)
        )
    return found


def _over_pairs(  # a metric in one line
    name: str,
    value: float,
    count: int,
    *,
    higher: bool = True,
    stratum: str = "all",
    low: float | None = None,
    high: float | None = None,
) -> Metric:
    return Metric(
        name,
        float(value),
        count,
        higher_is_better=higher,
        unit="pair",
        stratum=stratum,
        low=low,
        high=high,
    )
