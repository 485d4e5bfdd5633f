"""Every model against the reference of its task, in every setting: what a reader is handed."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from sclong_bench.results.integrity import (
    expected_seeds,
    refuse_missing_seeds,
    refuse_mixed_digests,
)
from sclong_bench.results.reading import read_results
from sclong_bench.results.references import Wanted, find_references
from sclong_bench.results.roles import roles
from sclong_bench.results.schema import LABEL, SETTING, SOURCE, measured, tidy
from sclong_bench.statistics.correction import adjust, families
from sclong_bench.statistics.effects import effects
from sclong_bench.statistics.power import smallest_difference
from sclong_bench.statistics.sample import Sample
from sclong_bench.statistics.tests import compare_samples
from sclong_bench.statistics.two_sided import TwoSidedTest
from sclong_core.errors import ConfigError, InputError

_LOGGER = logging.getLogger("sclong")

Incomplete = Literal["refuse", "mark"]

COLUMNS = (
    *("task", "metric", "scenario", "model", "reference", "n", "mean", "sd"),
    *("difference", "ci_low", "ci_high", "statistic", "p_value", "q_value"),
    *("cohens_d", "hedges_g", "cliffs_delta"),
)
"""The first columns of a comparison."""
DETAILS = (
    *("protocol", "stratum", "higher_is_better", "n_reference", "mean_reference", "sd_reference"),
    *("test", "df", "smallest_detectable", "family", "family_size", "correction"),
    *(f"{name}_{end}" for name in COLUMNS[-3:] for end in ("low", "high")),
    "note",
)
"""The others: what the first rest on."""


@dataclass(frozen=True)
class Plan:
    """How to compare."""

    test: str = "welch"
    """One of :data:`sclong_bench.statistics.tests.TESTS`."""
    family: str | Sequence[str] = ("task",)
    """See :func:`sclong_bench.statistics.correction.families`."""
    correction: str = "bh"
    """One of :data:`sclong_bench.statistics.correction.CORRECTIONS`."""
    confidence: float = 0.95
    """Of all intervals."""
    incomplete: Incomplete = "refuse"
    """What happens to a model that lacks seeds: an error, or a line that says so and no test."""
    seeds: tuple[int, ...] | None = None
    """That each model was to be run with; by default those of the other models."""

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence {self.confidence} is not a share between 0 and 1")
        if self.incomplete not in ("refuse", "mark"):
            raise ConfigError(f"incomplete is 'refuse' or 'mark', not {self.incomplete!r}")


def compare(
    results: pd.DataFrame | str | os.PathLike[str],
    reference: Wanted = None,
    test: str = "welch",
    family: str | Sequence[str] = ("task",),
    *,
    seeds: Iterable[int] | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Compare every model with a reference, in every setting.

    The difference is model minus reference, in the units of the metric, and so are the signs of
    the statistic and the effect sizes.

    Args:
        results: a table with the columns task, metric, model, seed, value (others are optional),
            or the path of one, or of a folder of runs.
        reference: the model that all others are compared with; or models by task, with "*" for
            all other tasks. Upper and lower case are the same. In a task that has no reference by
            this, the rule of :func:`sclong_bench.results.references.find_references` holds, which
            knows what was run and never how well it did.
        test: "student", "welch", "paired", "wilcoxon" or "permutation"; all are two-sided.
        family: columns that divide the comparisons into families, over each of which p-values are
            corrected; or "paper".
        seeds: that every model was to be run with; by default those that any other was.
        settings: the other fields of :class:`Plan`: ``correction`` ("bh" or "by"), ``confidence``,
            ``incomplete`` ("refuse" or "mark").

    Returns:
        One row a comparison: first :data:`COLUMNS`, then :data:`DETAILS`. Without another model
        there are no rows.

    Raises:
        InputError: results of different data in one table, missing seeds, a reference that is not
            there, or none in any task.
    """
    rows = tidy(results) if isinstance(results, pd.DataFrame) else read_results(results).rows
    plan = Plan(
        test=test,
        family=family if isinstance(family, str) else tuple(family),
        seeds=None if seeds is None else tuple(seeds),
        **settings,
    )
    found = find_references(rows, reference, roles(rows))
    if not any(one.label for one in found.values()):
        reasons = [f"{task}: {one.why}" for task, one in found.items()]
        raise InputError(f"nothing can be compared; {(reasons or ['there are no rows'])[0]}")
    for task, one in found.items():
        log = _LOGGER.info if one.label else _LOGGER.warning
        log("%s is compared with %s: %s", task, one.label or "nothing", one.why)
    return compare_rows(rows, {task: one.label for task, one in found.items()}, plan)


def compare_rows(rows: pd.DataFrame, references: Mapping[str, str], plan: Plan) -> pd.DataFrame:
    """The same for a table that was read and checked before.

    Args:
        rows: the table.
        references: label of the reference of each task; tasks without one are not compared.
        plan: how.
    """
    refuse_mixed_digests(rows)
    if plan.incomplete == "refuse":
        refuse_missing_seeds(rows, plan.seeds)
    lacking = {
        tuple(row[name] for name in (*SETTING, LABEL)): ": ".join(
            filter(None, [f"seed {row['missing']} of {row['expected']} missing", row["reason"]])
        )
        for _, row in expected_seeds(rows, plan.seeds).iterrows()
    }
    made = list(_comparisons(rows, references, plan, lacking))
    found = pd.DataFrame(made, columns=[*COLUMNS, *DETAILS])
    if found.empty:
        return found
    found["family"] = families(found, plan.family)
    found["correction"] = plan.correction
    for _, group in found.groupby("family", sort=False):
        found.loc[group.index, "q_value"] = adjust(group["p_value"], plan.correction)
        found.loc[group.index, "family_size"] = len(group)
    return found.astype({"n": int, "n_reference": int, "family_size": int})


def _comparisons(
    rows: pd.DataFrame, references: Mapping[str, str], plan: Plan, lacking: dict[Any, str]
) -> Iterator[dict[str, Any]]:
    for keys, group in rows.groupby(SETTING, sort=False):
        reference = references.get(keys[0], "")
        if not reference:
            continue
        if not group[LABEL].eq(reference).any():  # never asked for: no comparison was meant
            where = " ".join(filter(None, keys))
            _LOGGER.info("%s has no runs in %s, where nothing is compared", reference, where)
            continue
        theirs = sample_of(group[group[LABEL].eq(reference)])
        for model, runs in group.groupby(LABEL, sort=False):
            if model == reference:
                continue
            ours = sample_of(runs)
            reason = lacking.get((*keys, model)) or (
                f"reference: {lacking[(*keys, reference)]}" if (*keys, reference) in lacking else ""
            )
            outcome = (
                TwoSidedTest("none", difference=ours.mean - theirs.mean, note=reason)
                if reason
                else compare_samples(ours, theirs, plan.test, confidence=plan.confidence)
            )
            yield {
                **dict(zip(SETTING, keys, strict=True)),
                "model": model,
                "reference": reference,
                "higher_is_better": bool(group["higher_is_better"].iloc[0]),
                **_columns(ours, theirs, outcome, plan),
            }


def sample_of(runs: pd.DataFrame) -> Sample:
    """The runs of one model in one setting, those that were made."""
    done = measured(runs)
    if done["seed"].isna().all():
        return Sample.of(done["value"], [])
    if done["seed"].isna().any():
        row = done[done["seed"].isna()].iloc[0]
        raise InputError(
            f"{row[SOURCE]}: {row[LABEL]} has runs with and without a seed in {row['task']}, "
            f"{row['metric']}; a model has seeds or has none"
        )
    return Sample.of(done["value"], list(done["seed"].astype(int)))


def _columns(ours: Sample, theirs: Sample, outcome: TwoSidedTest, plan: Plan) -> dict[str, Any]:
    sizes = effects(ours, theirs, confidence=plan.confidence)
    columns: dict[str, Any] = {
        "n": ours.n,
        "mean": ours.mean,
        "sd": ours.sd,
        "n_reference": theirs.n,
        "mean_reference": theirs.mean,
        "sd_reference": theirs.sd,
        "difference": outcome.difference,
        "ci_low": outcome.low,
        "ci_high": outcome.high,
        "statistic": outcome.statistic,
        "df": outcome.df,
        "p_value": outcome.p_value,
        "test": outcome.test,
        "note": outcome.note,
        "smallest_detectable": smallest_difference(ours.n, theirs.n, pooled_sd(ours, theirs)),
    }
    for name in COLUMNS[-3:]:
        effect = getattr(sizes, name)
        columns |= {name: effect.value, f"{name}_low": effect.low, f"{name}_high": effect.high}
    return columns


def pooled_sd(first: Sample, second: Sample) -> float:
    """Standard deviation within both; NaN where neither has one."""
    parts = [(s.n - 1, s.sd) for s in (first, second) if s.n > 1 and np.isfinite(s.sd)]
    df = sum(part for part, _ in parts)
    return float(np.sqrt(sum(n * sd**2 for n, sd in parts) / df)) if df else float("nan")
