"""The tables of a setting."""

import math
from xml.etree.ElementTree import Element

import numpy as np

from sclong_bench.report.comparison import Comparison
from sclong_bench.report.summaries import Line, Published, Setting, share_of_the_way
from sclong_bench.report.verdicts import metric_of, place_of
from sclong_bench.report.words import (
    NOTHING,
    decimals_for,
    interval,
    name_of,
    p_cell,
    plain,
)
from sclong_data.report.markup import Content, tag
from sclong_data.report.table import Cell, Column, Ranked, Table

ROLE_WORDS = {
    "reference": "reference",
    "model": "model",
    "ablation": "ablation",
    "simple": "simple baseline",
    "floor": "trivial baseline",
    "ceiling": "ceiling",
}


def role_words(line: Line) -> str:
    """The role of a model; of a reference that is a baseline both."""
    words = ROLE_WORDS[line.role]
    both = line.role == "reference" and line.kind != "model"
    return f"{words}, {ROLE_WORDS[line.kind]}" if both else words


def decimals_of(setting: Setting) -> int:
    """Digits that show this metric."""
    return max(3, decimals_for(*(line.mean for line in setting.lines)))


def models_table(comparison: Comparison, setting: Setting) -> Table:
    """Published, ours, trivial baselines, with intervals: the first table of a task."""
    decimals = decimals_of(setting)
    confidence = f"{comparison.plan.confidence:.0%}"
    scaled = any(math.isfinite(share_of_the_way(setting, line)) for line in setting.lines)
    published = any(line.published is not None for line in setting.lines)
    unit = next((name_of(line.unit) for line in setting.lines if line.unit), "")
    columns = [Column("model")]
    columns += [Column("published", right=True)] if published else []
    columns += [Column(f"ours: mean [{confidence} over seeds]", right=True)]
    columns += [Column("s.d.", right=True), Column("seeds", right=True)]
    columns += [Column(f"{confidence} over {unit}s", right=True)] if unit else []
    columns += [Column("floor to ceiling", right=True)] if scaled else []
    rows: list[list[Cell]] = []
    for line in setting.lines:
        row: list[Cell] = [tag("span", line.label, tag("small", role_words(line)))]
        row += [published_cell(line.published)] if published else []
        row += [ours_cell(line, decimals), _sd(line, decimals), _seeds(line)]
        if unit:
            row.append(interval(line.unit_low, line.unit_high, decimals) or NOTHING)
        if scaled:
            share = share_of_the_way(setting, line)
            row.append(Ranked(NOTHING if math.isnan(share) else f"{share:.0%}", share))
        rows.append(row)
    place = place_of(setting)
    best = next(
        (number for number, line in enumerate(setting.lines) if line.role == "reference"),
        None,
    )
    caption = f"{metric_of(setting)}{': ' if place else ''}{place}."
    if any(line.published is not None and line.published.p_text for line in setting.lines):
        caption += " P as the paper prints it, of the test against scLong."
    return Table(columns, rows, caption=caption, best=best, sortable=True)


def published_cell(number: Published | None) -> Cell:
    """The paper's number as it prints it, with its p-value and where it comes from."""
    if number is None:
        return Ranked(NOTHING, math.nan)
    sd = "" if math.isnan(number.sd) else f" ± {number.sd:g}"
    notes = [number.p_text]
    notes += ["plotting history"] if number.origin == "history" else []
    printed = number.printed.replace("-", "\N{MINUS SIGN}")
    return Ranked(_noted(f"{printed}{sd}", [note for note in notes if note]), number.value)


def ours_cell(line: Line, decimals: int) -> Cell:
    """Mean and interval; where there is no value, why."""
    if not line.values:
        reason = line.reason or "no runs"
        words = reason if reason == "not run" else f"could not be run: {reason}"
        return Ranked(tag("span", tag("small", words)), math.nan)
    if not math.isfinite(line.mean):
        return Ranked(_noted("not defined", ["a value is not a finite number"]), math.nan)
    notes = [interval(line.low, line.high, decimals)]
    if line.missing:
        notes.append(f"lacks seed {line.missing}" + (f": {line.reason}" if line.reason else ""))
    return Ranked(_noted(plain(line.mean, decimals), [note for note in notes if note]), line.mean)


def _noted(text: str, notes: list[str]) -> Element:
    content: list[Content] = [text]
    for note in notes:
        content += [" ", tag("small", note)]
    return tag("span", *content)


def _sd(line: Line, decimals: int) -> Cell:
    return Ranked(plain(line.sd, decimals + 1), line.sd)


def _seeds(line: Line) -> Cell:
    if line.deterministic:
        return Ranked("none needed", math.nan)
    lacking = len(line.missing.split())
    text = f"{len(line.seeds)} of {len(line.seeds) + lacking}" if lacking else str(len(line.seeds))
    return Ranked(text, float(len(line.seeds)))


def comparison_table(comparison: Comparison, setting: Setting) -> Table | None:
    """Differences from the reference with p, q and effect sizes; None without another model."""
    table = comparison.comparisons_of(setting)
    if table.empty:
        return None
    decimals = decimals_of(setting)
    reference = comparison.reference_of(setting.task)
    columns = (
        Column("model"),
        Column(f"minus {reference} [{comparison.plan.confidence:.0%}]", right=True),
        Column("p", right=True),
        Column("q", right=True),
        Column("Hedges g", right=True),
        Column("Cohen d", right=True),
        Column("Cliff δ", right=True),
        Column("could be shown", right=True),
        Column("test", words=True),
    )
    rows: list[list[Cell]] = []
    order = {line.label: place for place, line in enumerate(setting.lines)}
    for _, row in table.sort_values("model", key=lambda names: names.map(order)).iterrows():
        span = interval(row["ci_low"], row["ci_high"], decimals)
        smallest = (
            float(row["smallest_detectable"]) or math.nan
        )  # nothing varies: no seed shows more
        test = tag("span", row["test"], *([tag("small", row["note"])] if row["note"] else []))
        rows.append(
            [
                row["model"],
                Ranked(_noted(plain(row["difference"], decimals), [span]), row["difference"]),
                p_cell(row["p_value"]),
                p_cell(row["q_value"]),
                _effect(row, "hedges_g", 1),
                _effect(row, "cohens_d", 1),
                _effect(row, "cliffs_delta", 2),
                Ranked(plain(smallest, decimals), smallest),
                test,
            ]
        )
    return Table(columns, rows, caption=family_caption(comparison, setting), sortable=True)


def _effect(row: "object", name: str, decimals: int) -> Cell:
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))  # type: ignore[index]
    if np.isnan(value):
        return Ranked(NOTHING, math.nan)
    span = interval(low, high, decimals)
    return Ranked(_noted(plain(value, decimals), [span] if span else []), value)


def family_caption(comparison: Comparison, setting: Setting) -> str:
    """The declared family, as it is written under the table."""
    first = comparison.comparisons_of(setting).iloc[0]
    names = {"bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli"}
    family = f"“{name_of(first['family'])}” of {first['family_size']} comparisons"
    against = (
        f"{comparison.reference_of(setting.task)} ({comparison.plan.test}, unless said otherwise)"
    )
    return (
        f"Two-sided tests against {against}; q is {names[first['correction']]} over the family "
        f"{family}. Effect sizes with bootstrap intervals over seeds. “Could be shown” is the "
        "difference that this number of seeds finds with 80 % power."
    )
