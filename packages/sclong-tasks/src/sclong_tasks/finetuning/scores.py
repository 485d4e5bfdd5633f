"""How well labels of held-out cells are predicted, and whether that is more than chance.

Two answers of chance stand beside a score: every cell gets the commonest label of training; and the
same predictions are compared with labels that were permuted among the held-out cells. Labels are
permuted within groups, so that telling groups apart is not a merit; where every group has one label
(a disease of donors), the labels of groups are permuted.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sclong_tasks.metrics.intervals import bootstrap_interval

Codes = npt.NDArray[np.int64]
DRAWS = 500
ENOUGH_GROUPS = 5
"""Held-out groups whose drawing gives an interval; of fewer, cells are drawn."""


@dataclass(frozen=True)
class Estimate:
    """A value with a 95% interval; its ends are NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """Scores of held-out cells."""

    cells: int
    unit: str
    """What was drawn for the intervals: "cell", or the name of the groups."""
    macro_f1: Estimate
    """F1 averaged over true labels."""
    accuracy: Estimate
    balanced_accuracy: Estimate
    """Share of a label that is predicted right, averaged over true labels."""
    commonest_macro_f1: Estimate
    """Of the commonest label for every cell."""
    commonest_accuracy: Estimate
    permuted_macro_f1: Estimate
    """Of the same predictions and permuted labels: mean, and the middle 95%."""
    p_value: float
    """Share of permutations that reach the macro-F1."""

    @property
    def beats_chance(self) -> bool:
        """Whether the interval of macro-F1 lies above both answers of chance."""
        limit = max(self.commonest_macro_f1.value, self.permuted_macro_f1.high)
        return bool(self.macro_f1.low > limit and self.p_value < 0.05)

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {**asdict(self), "beats_chance": self.beats_chance}
        for value in found.values():
            if isinstance(value, dict):
                value.update({end: None for end, one in value.items() if one != one})  # noqa: PLR0124  # NaN
        return found


def lines(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a command prints of a :meth:`Scores.record`."""

    def shown(name: str) -> str:
        one = record[name]
        if one["low"] is None:
            return f"{one['value']:.3f}"
        return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"

    verdict = "yes" if record["beats_chance"] else "not shown"
    chance = f"commonest label {shown('commonest_macro_f1')}"
    return [
        ("macro-F1", f"{shown('macro_f1')}; {chance}; permuted {shown('permuted_macro_f1')}"),
        ("accuracy", f"{shown('accuracy')}; commonest label {shown('commonest_accuracy')}"),
        ("balanced accuracy", shown("balanced_accuracy")),
        ("more than chance", f"{verdict} (p = {record['p_value']:.3f}, {DRAWS} permutations)"),
        ("intervals", f"95%, from {record['cells']:,} cells, drawn by {record['unit']}"),
    ]


def score(
    truth: Codes,
    told: Codes,
    commonest: int,
    groups: npt.NDArray[np.str_] | None = None,
    *,
    unit: str = "group",
    seed: int = 0,
) -> Scores:
    """Scores of predictions.

    Args:
        truth: ``(cells,)`` true labels by number.
        told: ``(cells,)`` predicted ones.
        commonest: the commonest label of training.
        groups: ``(cells,)``.
        unit: what groups are.
        seed: of draws and permutations.
    """
    often = np.full_like(told, commonest)
    drawn_by_group = groups is not None and len(np.unique(groups)) >= ENOUGH_GROUPS
    units = groups if drawn_by_group and groups is not None else np.arange(len(truth))

    def estimate(measure: Callable[[Codes, Codes], float], answer: Codes) -> Estimate:
        low, high = bootstrap_interval(
            lambda rows: measure(truth[rows], answer[rows]), units, draws=DRAWS, seed=seed
        )
        nan = float("nan")
        ends = (nan if end is None else end for end in (low, high))
        return Estimate(measure(truth, answer), *ends)

    found = macro_f1(truth, told)
    generator = np.random.default_rng(seed)
    null = [macro_f1(_permuted(truth, groups, generator), told) for _ in range(DRAWS)]
    low, high = np.quantile(null, [0.025, 0.975])
    return Scores(
        cells=len(truth),
        unit=unit if drawn_by_group else "cell",
        macro_f1=estimate(macro_f1, told),
        accuracy=estimate(_accuracy, told),
        balanced_accuracy=estimate(balanced_accuracy, told),
        commonest_macro_f1=estimate(macro_f1, often),
        commonest_accuracy=estimate(_accuracy, often),
        permuted_macro_f1=Estimate(float(np.mean(null)), float(low), float(high)),
        p_value=float((1 + np.sum(np.asarray(null) >= found - 1e-12)) / (1 + DRAWS)),
    )


def macro_f1(truth: Codes, told: Codes) -> float:
    """F1 averaged over the labels that occur in ``truth``."""
    size = int(max(truth.max(), told.max())) + 1
    right = np.bincount(truth[truth == told], minlength=size)
    true, claimed = np.bincount(truth, minlength=size), np.bincount(told, minlength=size)
    return float((2 * right / np.maximum(true + claimed, 1))[true > 0].mean())


def balanced_accuracy(truth: Codes, told: Codes) -> float:
    """Share of each label that is predicted right, averaged over the labels in ``truth``."""
    true = np.bincount(truth)
    right = np.bincount(truth[truth == told], minlength=len(true))
    return float((right / np.maximum(true, 1))[true > 0].mean())


def _accuracy(truth: Codes, told: Codes) -> float:
    return float((truth == told).mean())


def _permuted(
    truth: Codes, groups: npt.NDArray[np.str_] | None, generator: np.random.Generator
) -> Codes:
    if groups is None:
        return generator.permutation(truth)
    _, places = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(places == place) for place in range(int(places.max()) + 1)]
    if len(members) > 1 and all(len(np.unique(truth[rows])) == 1 for rows in members):
        return generator.permutation(np.array([truth[rows[0]] for rows in members]))[places]
    permuted = truth.copy()
    for rows in members:
        permuted[rows] = generator.permutation(truth[rows])
    return permuted
