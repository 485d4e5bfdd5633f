"""What a credible report has, (a) to (j), answered by the data alone.

Nothing here can be ticked by hand: each answer is computed from the results, and says from what.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sclong_bench.report.comparison import Comparison
from sclong_bench.report.summaries import Setting
from sclong_bench.report.verdicts import verdict
from sclong_bench.report.words import counted, listed, name_of
from sclong_bench.results.reading import LEAKAGE, TUNING
from sclong_bench.results.roles import ROLES
from sclong_bench.results.schema import LABEL, SOURCE, measured
from sclong_bench.statistics.tests import PAIRED

State = Literal["yes", "partly", "no"]

WAYS = {
    "error": r"mse|rmse|mae|nll|loss|error",
    "direction": r"direction|sign|delta|within",
    "rank": r"pearson|spearman|kendall|auroc|auprc|aupr|epr|precision|rank|centroid|accuracy|p at",
    "distribution": r"wasserstein|mmd|energy|distribution|calibration|brier|ks\b|coverage",
}
"""Ways of failing, and the metrics that show them."""
_GOOD_SEEDS = 5
_WITH_CHECKPOINT = ("model", "ablation")
"""Roles of models that start from a checkpoint."""
_RECORDED = ("code_version", "packages", "data_digest", "split_digest", "config_digest")


@dataclass(frozen=True)
class Check:
    """One question of the list."""

    letter: str
    question: str
    state: State
    because: str
    """What in the data the answer rests on."""


def checklist(comparison: Comparison) -> tuple[Check, ...]:
    """The ten questions with their answers."""
    questions: tuple[tuple[str, Callable[[Comparison], tuple[State, str]]], ...] = (
        ("Seeds and units of generalisation, with 95 % intervals", _seeds),
        ("A paired test for each comparison, corrected, with effect sizes", _tests),
        ("Floors and ceilings", _controls),
        ("Simple baselines", _baselines),
        ("A metric for each way of failing", _ways),
        ("Strata", _strata),
        ("A statement on leakage", _leakage),
        ("The same data, splits and tuning budget for every model", _same),
        ("Versions, hashes, speed, peak memory", _record),
        ("Negative results shown", _negative),
    )
    return tuple(
        Check("abcdefghij"[place], question, *answer(comparison))
        for place, (question, answer) in enumerate(questions)
    )


def _graded(good: int, every: int) -> State:
    return "yes" if good == every and every else ("partly" if good else "no")


def _seeds(comparison: Comparison) -> tuple[State, str]:
    settings = [setting for task in comparison.tasks for setting in comparison.main_settings(task)]
    lines = [line for setting in settings for line in setting.lines if line.values]
    random = [line for line in lines if not line.deterministic]
    enough = [line for line in random if len(line.seeds) >= _GOOD_SEEDS and not line.missing]
    over_units = [line for line in lines if math.isfinite(line.unit_low)]
    fewest = min((len(line.seeds) for line in random), default=0)
    state: State = "no" if fewest < 2 and random else "partly"
    if len(enough) == len(random) and len(over_units) == len(lines) and lines:
        state = "yes"
    return state, (
        f"{len(enough)} of {len(random)} models (one for each main table) have {_GOOD_SEEDS} seeds "
        f"or more and lack none, the fewest {fewest}; {len(over_units)} of {len(lines)} have an "
        "interval over units."
    )


def _tests(comparison: Comparison) -> tuple[State, str]:
    table = comparison.comparisons
    if table.empty:
        return "no", "There is nothing to compare."
    tested = int(table["p_value"].notna().sum())
    sizes = int(table["hedges_g"].notna().sum())
    paired = comparison.plan.test in PAIRED
    said = "paired by seed" if paired else "not paired: seeds are taken as independent"
    state: State = "yes" if paired and tested == sizes == len(table) else "partly"
    return ("no" if not tested else state), (
        f"{tested} of {counted(len(table), 'comparison')} tested ({comparison.plan.test}, {said}), "
        f"{sizes} with effect sizes; corrected in "
        f"{counted(table['family'].nunique(), 'declared family').replace('familys', 'families')}."
    )


def _controls(comparison: Comparison) -> tuple[State, str]:
    return _with_roles(comparison, ("floor", "ceiling"))


def _baselines(comparison: Comparison) -> tuple[State, str]:
    return _with_roles(comparison, ("simple",))


def _with_roles(comparison: Comparison, wanted: tuple[str, ...]) -> tuple[State, str]:
    """Tasks in which each of these roles has a value in every main setting."""
    assert set(wanted) <= set(ROLES)
    parts, good = [], 0
    for task in comparison.tasks:
        found = {role: _names(comparison.main_settings(task), role) for role in wanted}
        good += sum(bool(names) for names in found.values())
        said = "; ".join(
            f"{role}: {listed(names, most=4) if names else 'none'}" for role, names in found.items()
        )
        parts.append(f"{name_of(task)} has {said}.")
    return _graded(good, len(comparison.tasks) * len(wanted)), " ".join(parts)


def _names(settings: tuple[Setting, ...], role: str) -> list[str]:
    """Models of a role that have a value in all of the settings."""
    each = [
        {line.label for line in setting.lines if line.kind == role and line.values}
        for setting in settings
    ]
    return sorted(set.intersection(*each)) if each else []


def _ways(comparison: Comparison) -> tuple[State, str]:
    parts, good = [], 0
    for task in comparison.tasks:
        metrics = [name_of(setting.metric) for setting in comparison.of_task(task)]
        missing = [
            way
            for way, pattern in WAYS.items()
            if not any(re.search(pattern, metric) for metric in metrics)
        ]
        good += len(WAYS) - len(missing)
        parts.append(f"{name_of(task)} lacks {listed(missing)}." if missing else "")
    return _graded(good, len(WAYS) * len(comparison.tasks)), (
        " ".join(filter(None, parts)) or "Error, direction, rank and distribution are measured."
    )


def _strata(comparison: Comparison) -> tuple[State, str]:
    parts, good = [], 0
    for task in comparison.tasks:
        settings = comparison.of_task(task)
        strata = {setting.stratum for setting in settings if setting.stratum}
        splits = {(setting.protocol, setting.scenario) for setting in settings}
        good += bool(strata) or len(splits) > 1
        parts.append(
            f"{name_of(task)}: {counted(len(splits), 'split')} and "
            f"{counted(len(strata), 'stratum').replace('stratums', 'strata')}."
        )
    return _graded(good, len(comparison.tasks)), " ".join(parts)


def _leakage(comparison: Comparison) -> tuple[State, str]:
    """What splits keep apart, as runs recorded it."""
    kept: dict[str, set[str]] = {task: set() for task in comparison.tasks}
    stated = dict.fromkeys(comparison.tasks, False)
    for _, row in comparison.results.rows.drop_duplicates(SOURCE).iterrows():
        facts = comparison.results.facts.get(row[SOURCE], {})
        stated[row["task"]] |= any(LEAKAGE in str(name) for name in facts)
        folder = comparison.results.folders.get(row[SOURCE])
        if folder is not None and (folder / "split.json").is_file():
            unit = json.loads((folder / "split.json").read_text("utf-8")).get("unit", "")
            kept[row["task"]].add(str(unit))
    parts = []
    for task, units in kept.items():
        whole = sorted(units - {"row", ""})
        if whole:
            parts.append(f"{name_of(task)}: no {' or '.join(whole)} is in two parts of a split")
        if units & {"row"}:
            parts.append(f"{name_of(task)}: rows are split at random, so that units recur")
    said = "; ".join(parts) + "." if parts else "Runs say nothing of it."
    known = _graded(sum(map(bool, kept.values())), len(kept))
    complete = all(stated.values()) and known == "yes"
    said += "" if complete else " Overlap with the pretraining data is not recorded."
    return ("yes" if complete else ("no" if known == "no" else "partly")), said


def _same(comparison: Comparison) -> tuple[State, str]:
    """Mixed digests were refused before: what is there agrees."""
    rows = measured(comparison.results.rows)
    have = {name: rows[f"{name}_digest"].ne("").mean() for name in ("data", "split")}
    facts = comparison.results.facts.values()
    budget = bool(facts) and all(TUNING in fact for fact in facts)
    if not any(have.values()):
        return "no", "No digests of data and splits are recorded."
    complete = all(share == 1 for share in have.values())
    return ("yes" if complete and budget else "partly"), (
        f"Data are the same by digest for {have['data']:.0%} of the values, splits for "
        f"{have['split']:.0%}; the tuning budget is {'recorded' if budget else 'not recorded'}."
    )


def _record(comparison: Comparison) -> tuple[State, str]:
    rows = measured(comparison.results.rows)
    missing = [name_of(name) for name in _RECORDED if rows[name].eq("").any()]
    missing += [
        words
        for name, words in (("wall_seconds", "time"), ("peak_memory_bytes", "peak memory"))
        if rows[name].isna().any()
    ]
    labels = rows[LABEL]
    mine = labels.eq(rows["task"].map(comparison.reference_of))
    mine &= labels.map(comparison.roles).isin(_WITH_CHECKPOINT)
    of_reference = rows[mine & rows["checkpoint_digest"].eq("")]
    if len(of_reference):
        missing.append(f"the checkpoint of {listed(list(dict.fromkeys(of_reference[LABEL])))}")
    if not missing:
        return "yes", "Recorded for every run."
    every = len(_RECORDED) + 3
    state: State = "no" if len(missing) == every else "partly"
    return state, f"Not recorded for all: {listed(missing, most=9)}."


def _negative(comparison: Comparison) -> tuple[State, str]:
    """All of the results are on the page; what is counted is how many speak against the model."""
    found = [verdict(comparison, setting) for setting in comparison.settings]
    behind = sum(bool(one.behind) for one in found)
    failed = int((comparison.results.rows["reason"] != "").sum())
    return "yes", (
        f"All {counted(len(comparison.settings), 'table')} are on the page: in {behind} of them "
        f"{comparison.reference or 'the reference'} is not ahead of every other model; "
        f"{counted(failed, 'value')} of failed runs {'is' if failed == 1 else 'are'} listed."
    )
