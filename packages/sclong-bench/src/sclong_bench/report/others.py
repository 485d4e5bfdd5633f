"""The rest of the numbers: differences beyond seeds, further metrics, the paper's own tests."""

import math

from sclong_bench.report.comparison import Comparison
from sclong_bench.report.tables import decimals_of, role_words
from sclong_bench.report.verdicts import place_of
from sclong_bench.report.words import counted, interval, name_of, p_cell, plain
from sclong_data.report.markup import tag
from sclong_data.report.page import Block
from sclong_data.report.table import Cell, Column, Ranked, Table, table

_SIDES = (("mean", "sd"), ("mean_sclong", "sd_sclong"))


def beyond_table(comparison: Comparison, task: str) -> Table | None:
    """Differences over test rows and units; None where there are no predictions."""
    found = [one for one in comparison.beyond if one.task == task]
    if not found:
        return None
    rows: list[list[Cell]] = []
    for one in found:
        where = " ".join(filter(None, [one.protocol, one.scenario]))
        span = tag("small", interval(one.low, one.high, 3))
        rows.append(
            [
                name_of(one.metric),
                name_of(where),
                one.model,
                Ranked(tag("span", plain(one.difference, 3), " ", span), one.difference),
                Ranked(f"{one.clear} of {one.seeds}", one.clear / one.seeds),
                f"{counted(one.units, one.unit)}, {one.method}",
            ]
        )
    columns = (
        Column("metric"),
        Column("split"),
        Column("model"),
        Column(f"minus {comparison.reference_of(task)}", right=True),
        Column("seeds without 0", right=True),
        Column("over", words=True),
    )
    caption = (
        "Differences on the same test rows, with 95 % intervals over what the model should "
        "generalise to. Means over seeds; the count is of seeds whose own interval leaves out zero"
    )
    return Table(columns, rows, caption=caption, sortable=True)


def other_settings(comparison: Comparison, task: str) -> list[Block]:
    """Every other metric, split and stratum, in a table that opens at a click."""
    main = set(comparison.main_settings(task))
    others = [setting for setting in comparison.of_task(task) if setting not in main]
    if not others:
        return []
    rows: list[list[Cell]] = []
    for setting in others:
        compared = comparison.comparisons_of(setting).set_index("model")
        decimals = decimals_of(setting)
        for line in setting.lines:
            tested = line.label in compared.index
            q_value = float(compared.loc[line.label, "q_value"]) if tested else math.nan
            shown = interval(line.low, line.high, decimals) or interval(
                line.unit_low, line.unit_high, decimals
            )
            span = tag("small", shown)
            rows.append(
                [
                    name_of(setting.metric),
                    place_of(setting),
                    line.label,
                    role_words(line),
                    Ranked(tag("span", plain(line.mean, decimals), " ", span), line.mean),
                    Ranked(str(len(line.seeds) or "none"), float(len(line.seeds))),
                    p_cell(q_value),
                ]
            )
    columns = (
        Column("metric"),
        Column("split"),
        Column("model"),
        Column("kind"),
        Column("mean", right=True),
        Column("seeds", right=True),
        Column("q", right=True),
    )
    content = Table(
        columns,
        rows,
        caption="Means with 95 % intervals over seeds, or over units where there is one seed",
        sortable=True,
    )
    words = f"{counted(len(others), 'further table')}: other metrics, splits and strata"
    return [tag("details", tag("summary", words), table(content))]


def recomputed_table(comparison: Comparison) -> list[Block] | None:
    """The paper's p-values beside those of its means; None where there is nothing to recompute."""
    found = comparison.recomputed
    if found.empty:
        return None
    rows: list[list[Cell]] = []
    for _, row in found.iterrows():
        agrees = {True: "fits", False: "does not fit", None: "nothing printed"}[row["agrees"]]
        decimals = 4 if row["sd"] < 0.1 else 3
        sides = [f"{row[m]:.{decimals}f} ± {row[s]:.{decimals}f}" for m, s in _SIDES]
        metric = name_of(f"{row['metric']} {row['scenario']}".strip())
        where = tag("span", name_of(row["task"]), tag("small", metric))
        rows.append(
            [
                where,
                row["model"],
                Ranked(tag("span", sides[0], tag("small", f"scLong {sides[1]}")), row["mean"]),
                Ranked(plain(row["t"], 2), row["t"]),
                p_cell(row["p_value"]),
                p_cell(row["welch"]),
                p_cell(row["most"]),
                row["printed"],
                tag("span", agrees, *([tag("small", row["note"])] if row["note"] else [])),
            ]
        )
    columns = (
        Column("task, metric"),
        Column("model"),
        *(Column(name, right=True) for name in ("mean ± s.d.", "t", "p", "p, Welch")),
        Column("q at most", right=True),
        Column("printed q", right=True),
        Column("judgement", words=True),
    )
    printed = int(found["printed"].ne("").sum())
    misfits = sum(value is False for value in found["agrees"])
    words = (
        "Student's test with five runs each, from means and standard deviations that an earlier "
        "state of the paper's plotting scripts held; the paper itself prints none. “q at most” is "
        "the largest value that the correction can give, by the family of the supplementary table. "
        f"Of {printed} printed values that can be checked so, {misfits} do not fit: they must come "
        "from other runs, or another test."
    )
    return [words, Table(columns, rows, caption="The paper's tests, recomputed", sortable=True)]
