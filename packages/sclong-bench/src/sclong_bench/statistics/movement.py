"""Two sets of results: what moved between them, by how much, and whether that is noise."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from sclong_bench.results.integrity import refuse_mixed_digests
from sclong_bench.results.schema import LABEL, SETTING
from sclong_bench.statistics.comparison import Plan, pooled_sd, sample_of
from sclong_bench.statistics.correction import adjust, families
from sclong_bench.statistics.effects import effects
from sclong_bench.statistics.power import smallest_difference
from sclong_bench.statistics.sample import Sample
from sclong_bench.statistics.tests import PAIRED, compare_samples

Verdict = Literal["same", "moved", "noise", "changed", "only in a", "only in b", "not defined"]
"""Equal values; a difference with q below the level; one without; a difference where neither side
varies, so that there is no noise to compare it with; and what has no counterpart."""

COLUMNS = (
    *(*SETTING, "model", "higher_is_better", "n_a", "mean_a", "sd_a", "n_b", "mean_b", "sd_b"),
    *("difference", "ci_low", "ci_high", "better", "statistic", "p_value", "q_value"),
    *("hedges_g", "smallest_detectable", "verdict", "test", "changed", "note"),
)
_DIGESTS = ("data_digest", "split_digest", "config_digest", "checkpoint_digest", "code_version")
_EQUAL = 1e-12


def movements(
    a: pd.DataFrame, b: pd.DataFrame, plan: Plan | None = None, *, level: float = 0.05
) -> pd.DataFrame:
    """Compare each model of ``a`` with the same model in the same setting of ``b``.

    Differences are b minus a. Families are made as for comparisons of models; a model that is only
    in one of the two belongs to none.

    Args:
        a: checked results.
        b: others.
        plan: the test, the family and the correction. A paired test needs the same seeds.
        level: of q, below which a difference is not noise.

    Returns:
        One row a model and setting, with :data:`COLUMNS`: what moved most comes first.
    """
    plan = plan or Plan()
    for rows in (a, b):
        refuse_mixed_digests(rows)
    keys = [*SETTING, LABEL]
    groups = [dict(list(rows.groupby(keys, sort=False))) for rows in (a, b)]
    names = dict.fromkeys([*groups[0], *groups[1]])
    found = pd.DataFrame(
        [_row(name, groups[0].get(name), groups[1].get(name), plan) for name in names],
        columns=list(COLUMNS),
    )
    both = found["verdict"].eq("")
    tested = found[both]
    for _, group in tested.groupby(families(tested, plan.family), sort=False):
        found.loc[group.index, "q_value"] = adjust(group["p_value"], plan.correction)
    clear = found["q_value"].lt(level)
    found.loc[both, "verdict"] = np.where(clear[both], "moved", "noise")
    found.loc[both & found["p_value"].isna(), "verdict"] = "changed"
    return _ordered(found)


def _ordered(found: pd.DataFrame) -> pd.DataFrame:
    order = ["moved", "changed", "only in a", "only in b", "not defined", "noise", "same"]
    rank = found["verdict"].map(order.index)
    size = -found["hedges_g"].abs().fillna(0.0)
    return (
        found.assign(_r=rank, _s=size)
        .sort_values(["_r", "_s"], kind="stable")[list(COLUMNS)]
        .reset_index(drop=True)
    )


def _row(
    name: tuple[Any, ...], a: pd.DataFrame | None, b: pd.DataFrame | None, plan: Plan
) -> dict[str, Any]:
    some = a if a is not None else b
    assert some is not None
    row: dict[str, Any] = dict(zip([*SETTING, "model"], name, strict=True))
    row |= {"higher_is_better": bool(some["higher_is_better"].iloc[0]), "q_value": np.nan}
    samples = [sample_of(rows) if rows is not None else Sample.of([]) for rows in (a, b)]
    for letter, sample in zip("ab", samples, strict=True):
        row |= {f"n_{letter}": sample.n, f"mean_{letter}": sample.mean, f"sd_{letter}": sample.sd}
    if a is None or b is None or not all(sample.n for sample in samples):
        missing = a is None or not samples[0].n
        return row | {"verdict": "only in b" if missing else "only in a", "changed": ""}
    return row | {"changed": _changed(a, b)} | _difference(samples[0], samples[1], plan, row)


def _difference(a: Sample, b: Sample, plan: Plan, row: dict[str, Any]) -> dict[str, Any]:
    test = "welch" if plan.test in PAIRED and a.seeds != b.seeds else plan.test
    outcome = compare_samples(b, a, test, confidence=plan.confidence)
    notes = [f"not {plan.test}: other seeds"] if test != plan.test else []
    better = (outcome.difference > 0) == row["higher_is_better"] and outcome.difference != 0
    verdict = ""
    if not (a.finite and b.finite):
        verdict = "not defined"
    elif _equal(a, b):
        verdict = "same"
    return {
        "difference": outcome.difference,
        "ci_low": outcome.low,
        "ci_high": outcome.high,
        "better": better,
        "statistic": outcome.statistic,
        "p_value": outcome.p_value,
        "hedges_g": effects(b, a, confidence=plan.confidence).hedges_g.value,
        "smallest_detectable": smallest_difference(b.n, a.n, pooled_sd(a, b)),
        "verdict": verdict,
        "test": outcome.test,
        "note": "; ".join(filter(None, [*notes, outcome.note])),
    }


def _equal(a: Sample, b: Sample) -> bool:
    """The same value for every seed, up to rounding."""
    return a.seeds == b.seeds and bool(np.allclose(a.values, b.values, rtol=_EQUAL, atol=0.0))


def _changed(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """What the results rest on that is not the same on both sides."""
    found = []
    for name in _DIGESTS:
        sides = [set(rows[name]) - {""} for rows in (a, b)]
        if all(sides) and sides[0] != sides[1]:
            found.append(name.removesuffix("_digest").replace("_version", ""))
    return " ".join(found)
