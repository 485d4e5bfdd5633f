"""The paper's tests, made again from means, standard deviations and numbers of runs.

The standard deviations come from an earlier state of the plotting scripts: where its means are not
those that the paper prints, they belong to other runs, and the table says so.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from scipy import stats

from sclong_bench.published.numbers import key, published

FAMILIES = {
    "genetic_perturbation": 56,
    "chemical_perturbation": 25,
    "drug_response": 12,
    "drug_combination": 12,
    "grn": 14,
}
"""Tests of the supplementary table that p-values come from: the paper itself defines no family."""
_SCLONG = "scLong"
_HALF_UNIT = 0.5


def recomputed_tests() -> pd.DataFrame:
    """One row a pair of scLong and a baseline of which both have a standard deviation.

    ``p_value`` is that of Student's test, the paper's reading; ``welch`` that of Welch's. ``most``
    is the largest value that Benjamini-Hochberg can make of it, given how many printed p-values of
    the family are smaller. ``agrees`` tells whether the printed one is between the two, as far as
    it is rounded; missing where none is printed.
    """
    return pd.DataFrame(list(_tests()))


def _tests() -> Iterator[dict[str, Any]]:
    table = published()
    table = table[table["kind"].eq("result")]
    spread = table[table["sd"].notna() & table["n"].gt(1)]
    for (task, scenario, metric), group in spread.groupby(
        ["task", "scenario", "metric"], sort=False
    ):
        ours = group[group["model"].eq(_SCLONG)]
        if ours.empty:
            continue
        for _, theirs in group[group["model"].ne(_SCLONG)].iterrows():
            yield _test(task, scenario, metric, theirs, ours.iloc[0])


def _test(task: str, scenario: str, metric: str, theirs: Any, ours: Any) -> dict[str, Any]:
    sides = [(row["value"], row["sd"], int(row["n"])) for row in (theirs, ours)]
    student = stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=True)
    welch = stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False)
    pooled = ((sides[0][1] ** 2 + sides[1][1] ** 2) / 2) ** 0.5
    printed = _printed(task, scenario, metric, theirs["model"])
    most = _most(task, float(student.pvalue), printed)
    return {
        "task": task,
        "scenario": scenario,
        "metric": metric,
        "model": theirs["model"],
        **dict(zip(("mean", "sd", "n"), sides[0], strict=True)),
        **dict(zip(("mean_sclong", "sd_sclong", "n_sclong"), sides[1], strict=True)),
        "t": float(student.statistic),
        "p_value": float(student.pvalue),
        "welch": float(welch.pvalue),
        "cohens_d": (sides[0][0] - sides[1][0]) / pooled,
        "most": most,
        "printed": "" if printed is None else _words(printed),
        "agrees": None if printed is None else _agrees(float(student.pvalue), most, printed),
        "note": _note(task, scenario, metric, theirs, ours),
    }


def _printed(task: str, scenario: str, metric: str, model: str) -> Any:
    """The row with the p-value that the paper prints for this, or for all of its task."""
    table = published()
    table = table[table["task"].eq(task) & table["p_value"].notna()]
    exact = table[
        table["kind"].eq("result")
        & table["scenario"].eq(scenario)
        & table["metric"].eq(metric)
        & table["model"].map(key).eq(key(model))
    ]
    claims = table[table["kind"].eq("claim") & table["metric"].eq("p_value")]
    found = exact if len(exact) else claims
    return found.iloc[0] if len(found) else None


def _words(printed: Any) -> str:
    bound = f"{printed['p_relation']} {printed['p_value']:g}"
    return bound if printed["kind"] == "result" else f"all {bound}"


def _most(task: str, p_value: float, printed: Any) -> float:
    """Largest adjusted value, p m / rank: the rank is above that of all smaller printed ones."""
    smaller = 0
    if printed is not None and printed["kind"] == "result":
        table = published()
        others = table[table["kind"].eq("result") & table["p_value"].notna()]
        others = others[others["task"].map(FAMILIES.get).eq(FAMILIES[task])]
        if FAMILIES[task] != FAMILIES["drug_response"]:
            others = others[others["task"].eq(task)]
        limit = printed["p_value"]
        below = others["p_value"].lt(limit)
        bounded = others["p_relation"].eq("<") & others["p_value"].le(limit)
        smaller = int((below | bounded).sum()) if printed["p_relation"] == "=" else 0
    return min(1.0, p_value * FAMILIES[task] / (smaller + 1))


def _agrees(p_value: float, most: float, printed: Any) -> bool:
    """Whether an adjusted p-value can be what is printed: never below the raw one."""
    if printed["p_relation"] == "<":
        return bool(p_value < printed["p_value"])
    unit = 10.0 ** -len(f"{printed['p_value']:g}".partition(".")[2])
    low, high = printed["p_value"] - _HALF_UNIT * unit, printed["p_value"] + _HALF_UNIT * unit
    return bool(p_value < high and most >= low)


def _note(task: str, scenario: str, metric: str, theirs: Any, ours: Any) -> str:
    """Which of the two means is not the one that the paper prints."""
    table = published()
    paper = table[
        table["kind"].eq("result")
        & table["origin"].eq("paper")
        & table["task"].eq(task)
        & table["scenario"].eq(scenario)
        & table["metric"].eq(metric)
    ]
    found = []
    for row in (theirs, ours):
        same = paper[paper["model"].eq(row["model"])]
        if len(same):
            unit = 10.0 ** -int(same.iloc[0]["decimals"])
            if abs(same.iloc[0]["value"] - row["value"]) > unit:
                found.append(f"the paper prints {same.iloc[0]['printed']} for {row['model']}")
    return "; ".join(found)
