"""One line a model and setting: ours, what was published, and how far between floor and ceiling."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sclong_bench.published.numbers import key, published_results
from sclong_bench.results.roles import ROLES, published_splits, role_of
from sclong_bench.results.schema import LABEL, SETTING, measured
from sclong_bench.statistics.comparison import sample_of
from sclong_data.report.names import plain_names
from sclong_tasks.results import on_papers_data


@dataclass(frozen=True)
class Published:
    """A number of the paper beside ours."""

    value: float
    printed: str
    sd: float
    p_text: str
    origin: str


@dataclass(frozen=True)
class Line:
    """A model in one setting."""

    label: str
    role: str
    """"reference" for the reference of the task."""
    values: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    """Empty for a deterministic model."""
    mean: float = math.nan
    sd: float = math.nan
    low: float = math.nan
    """Lower end of the t interval of the mean over seeds."""
    high: float = math.nan
    unit: str = ""
    """What the runs resampled for intervals of their own."""
    unit_low: float = math.nan
    """Mean over seeds of the lower ends of these."""
    unit_high: float = math.nan
    n: float = math.nan
    """Rows or groups that the metric rests on."""
    missing: str = ""
    """Seeds that lack."""
    reason: str = ""
    """Why there is no value."""
    published: Published | None = None
    kind: str = ""
    """The role that the reference would have if another model were the reference."""

    @property
    def deterministic(self) -> bool:
        """Whether it has a value and no seed."""
        return bool(self.values) and not self.seeds


@dataclass(frozen=True)
class Setting:
    """All models in one task, protocol, scenario, stratum and metric."""

    task: str
    protocol: str
    scenario: str
    stratum: str
    metric: str
    higher_is_better: bool
    lines: tuple[Line, ...] = field(repr=False)
    slug: str
    """Its name for files and ids, which no other setting of the table has."""

    @property
    def keys(self) -> tuple[str, str, str, str, str]:
        """Its values of the columns of a setting."""
        return (self.task, self.protocol, self.scenario, self.stratum, self.metric)

    @property
    def has_published(self) -> bool:
        """Whether the paper has a number for it."""
        return any(line.published is not None for line in self.lines)

    def better(self, one: float, other: float) -> bool:
        """Whether ``one`` is better than ``other``."""
        return one > other if self.higher_is_better else one < other

    def best(self, *roles: str, besides_reference: bool = True) -> Line | None:
        """The best line of these roles that has a mean.

        Args:
            roles: some of :data:`sclong_bench.results.roles.ROLES`.
            besides_reference: leave the reference out, unless its role is asked for; else it
                counts as what it is apart from that.
        """
        found = [
            line
            for line in self.lines
            if (line.role if besides_reference else line.kind) in roles and math.isfinite(line.mean)
        ]
        sign = 1 if self.higher_is_better else -1
        return max(found, key=lambda line: sign * line.mean, default=None)

    def of(self, label: str) -> Line | None:
        """The line of a model."""
        return next((line for line in self.lines if line.label == label), None)


def settings(
    rows: pd.DataFrame,
    roles: Mapping[str, str],
    references: Mapping[str, str],
    lacking: pd.DataFrame,
    *,
    confidence: float = 0.95,
) -> tuple[Setting, ...]:
    """Every setting of a table, in its order.

    Args:
        rows: a checked table.
        roles: of each label, apart from being a reference.
        references: label of the reference of each task.
        lacking: what :func:`sclong_bench.results.integrity.expected_seeds` found.
        confidence: of the intervals of means.
    """
    missing = {
        tuple(row[name] for name in (*SETTING, LABEL)): str(row["missing"])
        for _, row in lacking.iterrows()
    }
    found = []
    groups = list(rows.groupby(SETTING, sort=False))
    wanted = ["-".join(filter(None, map(key, keys))) for keys, _ in groups]
    slugs = plain_names(wanted, [keys for keys, _ in groups])
    for (keys, group), slug in zip(groups, slugs, strict=True):
        task, protocol, scenario, stratum, metric = keys
        # The paper's numbers are about its own cells or rows, in its own split.
        papers = on_papers_data(group)
        numbers = _published(task, metric, scenario, stratum) if papers else {}
        sole = _sole(group)
        lines = [
            replace(
                _line(label, roles[label], runs, missing.get((*keys, label), ""), confidence),
                role="reference" if label == references[task] else roles[label],
            )
            for label, runs in group.groupby(LABEL, sort=False)
        ]
        lines = [_with(line, numbers.pop(key(line.label), None)) for line in lines]
        lines = [_with(line, numbers.pop(sole.get(line.label, ""), None)) for line in lines]
        lines += [
            Line(name, role, reason="not run", published=number, kind=role)
            for name, number in numbers.values()
            for role in (role_of(name, task),)
        ]
        higher = bool(group["higher_is_better"].iloc[0])
        sign = -1 if higher else 1
        lines.sort(key=lambda line: (ROLES.index(line.role), _order(line, sign)))
        found.append(Setting(task, protocol, scenario, stratum, metric, higher, tuple(lines), slug))
    return tuple(found)


def _order(line: Line, sign: int) -> float:
    return sign * line.mean if math.isfinite(line.mean) else math.inf


def _sole(group: pd.DataFrame) -> dict[str, str]:
    """Key of the model by label, where no other label is one of that model."""
    models = group.drop_duplicates(LABEL).set_index(LABEL)["model"]
    sole = models[~models.duplicated(keep=False)]
    return {str(label): key(model) for label, model in sole.items() if label != model}


def _with(line: Line, number: tuple[str, Published] | None) -> Line:
    if number is None:
        return line
    return replace(line, published=number[1])


def _published(
    task: str, metric: str, scenario: str, stratum: str
) -> dict[str, tuple[str, Published]]:
    found: dict[str, tuple[str, Published]] = {}
    for _, row in published_results(task, metric, scenario, stratum).iterrows():
        if not _same_split(task, str(row["scenario"]), scenario, stratum):
            continue
        relation = "P" if row["p_relation"] else ""
        p_text = f"{relation} {row['p_relation']} {row['p_value']:g}" if relation else ""
        found[row["key"]] = (
            str(row["model"]),
            Published(row["value"], row["printed"], row["sd"], p_text, row["origin"]),
        )
    return found


def _same_split(task: str, published: str, scenario: str, stratum: str) -> bool:
    """Whether a number of the paper is about this split, or about a part of its test rows."""
    if published:
        return key(published) in (key(scenario), key(stratum))
    splits = {key(name) for name in published_splits(task)}
    return not scenario or not splits or key(scenario) in splits


def _line(label: str, role: str, runs: pd.DataFrame, missing: str, confidence: float) -> Line:
    sample = sample_of(runs)
    done = measured(runs)
    reasons = [reason for reason in runs["reason"] if reason]
    low, high = mean_interval(sample.values, confidence)
    columns: dict[str, Any] = {}
    if len(done):
        units = [unit for unit in done["unit"] if unit]
        columns = {
            "unit": units[0] if units else "",
            "unit_low": float(done["low"].mean()),
            "unit_high": float(done["high"].mean()),
            "n": float(done["n"].median()) if done["n"].notna().any() else math.nan,
        }
    return Line(
        label,
        role,
        kind=role,
        values=tuple(float(value) for value in sample.values),
        seeds=sample.seeds,
        mean=sample.mean if sample.finite else math.nan,
        sd=sample.sd,
        low=low,
        high=high,
        missing=missing,
        reason=reasons[0] if reasons else "",
        **columns,
    )


def mean_interval(values: Any, confidence: float) -> tuple[float, float]:
    """The t interval of a mean; NaN below two values, or where one is not a number."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2 or not np.isfinite(found).all():
        return math.nan, math.nan
    half = stats.t.ppf((1 + confidence) / 2, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5
    return float(found.mean() - half), float(found.mean() + half)


def share_of_the_way(setting: Setting, line: Line) -> float:
    """Where a mean stands between the best floor (0) and the ceiling (1); NaN without both."""
    floor, ceiling = (setting.best(role, besides_reference=False) for role in ("floor", "ceiling"))
    if floor is None or ceiling is None or ceiling.mean == floor.mean:
        return math.nan
    return (line.mean - floor.mean) / (ceiling.mean - floor.mean)
