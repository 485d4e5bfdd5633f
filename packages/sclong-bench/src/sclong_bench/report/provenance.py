"""Where the numbers come from: runs, commands, versions, digests, time and memory."""

import math
import shlex
from collections.abc import Iterable, Sequence

import pandas as pd

from sclong_bench.report.comparison import Comparison
from sclong_bench.report.run_settings import model_word, settings_words
from sclong_bench.report.words import duration, listed, memory, name_of
from sclong_bench.results.schema import LABEL, RUN, SOURCE, failed, measured
from sclong_data.report.markup import tag
from sclong_data.report.page import Block
from sclong_data.report.table import Cell, Column, Ranked, Table

_DIGEST = 12


def missing_table(comparison: Comparison) -> Table | None:
    """Runs that failed and seeds that lack; None where there are none."""
    rows = failed(comparison.results.rows).drop_duplicates([*RUN, "reason"])
    found: list[list[Cell]] = [
        [
            name_of(row["task"]),
            name_of(" ".join(filter(None, [row["protocol"], row["scenario"]]))),
            row[LABEL],
            "" if pd.isna(row["seed"]) else str(row["seed"]),
            "failed",
            row["reason"],
        ]
        for _, row in rows.iterrows()
    ]
    keys = ["task", "protocol", "scenario", LABEL]
    lacking = comparison.lacking.drop_duplicates([*keys, "missing"])
    broken = set(rows[keys].itertuples(index=False, name=None))
    found += [
        [
            name_of(row["task"]),
            name_of(" ".join(filter(None, [row["protocol"], row["scenario"]]))),
            row[LABEL],
            row["missing"],
            "missing",
            f"{len(str(row['missing']).split())} of {row['expected']} seeds was not run",
        ]
        for _, row in lacking.iterrows()
        if tuple(row[name] for name in keys) not in broken
    ]
    headings = ("task", "split", "model", "seed", "state", "why")
    if not found:
        return None
    columns = [Column(name, words=name == "why") for name in headings]
    return Table(columns, found, "Runs without a result", sortable=True)


def runs_table(comparison: Comparison) -> Table:
    """Time, memory and versions, a line a model and task."""
    rows = measured(comparison.results.rows)
    lines: list[list[Cell]] = []
    for (task, model), group in rows.groupby(["task", LABEL], sort=False):
        runs = group.drop_duplicates(RUN)
        seconds, peak = runs["wall_seconds"].mean(), runs["peak_memory_bytes"].max()
        lines.append(
            [
                name_of(str(task)),
                str(model),
                Ranked(str(len(runs)), len(runs)),
                Ranked(duration(seconds), float(seconds)),
                Ranked(memory(0.0 if math.isnan(peak) else peak), float(peak)),
                _digests(runs["config_digest"]),
                _digests(runs["checkpoint_digest"]),
            ]
        )
    columns = (
        Column("task"),
        Column("model"),
        Column("runs", right=True),
        Column("time a run", right=True),
        Column("peak memory", right=True),
        Column("settings"),
        Column("checkpoint"),
    )
    return Table(columns, lines, "Runs: mean time, largest memory, digests", sortable=True)


def data_table(comparison: Comparison) -> Table | None:
    """Digests of data and splits; None where none are recorded."""
    rows = measured(comparison.results.rows)
    lines: list[list[Cell]] = []
    for keys, group in rows.groupby(["task", "protocol", "scenario"], sort=False):
        if group["data_digest"].ne("").any() or group["split_digest"].ne("").any():
            names = [name_of(str(part)) for part in keys]
            lines.append([*names, _digests(group["data_digest"]), _digests(group["split_digest"])])
    headings = ("task", "protocol", "split", "data", "splits by seed")
    if not lines:
        return None
    return Table([Column(name) for name in headings], lines, "Digests of data and splits")


def _digests(values: "pd.Series[str]") -> str:
    found = [value[:_DIGEST] for value in dict.fromkeys(values) if value]
    return listed(found, most=2)


def versions_blocks(comparison: Comparison) -> list[Block]:
    """Versions of the code and of packages."""
    rows = measured(comparison.results.rows)
    found: list[Block] = []
    for name, words in (("code_version", "Code"), ("packages", "Packages"), ("date", "Dates")):
        values = sorted({value for value in rows[name] if value})
        if name == "date" and len(values) > 2:
            values = [f"{values[0]} to {values[-1]}"]
        mixed = " (more than one: runs were made with different versions)"
        note = mixed if len(values) > 1 and name != "date" else ""
        if values:
            found.append(tag("p", f"{words}{note}: ", tag("code", "; ".join(values))))
        else:
            found.append(f"{words}: not recorded.")
    return found


def commands(comparison: Comparison) -> list[str]:
    """What to type to make the runs again, and this page."""
    rows = comparison.results.rows
    given = [command for command in dict.fromkeys(rows["command"]) if command]
    if not given and comparison.results.folders:
        for keys, group in rows.groupby(["task", "protocol", "scenario"], sort=False):
            told = {}
            for model, runs in group.groupby("model", sort=False):
                folder = comparison.results.folders.get(runs[SOURCE].iloc[0])
                told[model] = settings_words(folder), model_word(folder)
            for settings, word in dict.fromkeys(told.values()):
                models = [str(model) for model in told if told[model] == (settings, word)]
                mine = group[group["model"].isin(models)]
                words = [word] * len(models) + ["--name", *models] if word else models
                given.append(_task_command(keys, words, mine["seed"], settings))
    return [*given, *([comparison.command] if comparison.command else [])]


def _task_command(
    keys: Sequence[object],
    models: list[str],
    seeds: "pd.Series[int]",
    settings: Iterable[str],
) -> str:
    task, protocol, scenario = (str(part) for part in keys)
    words = ["sclong", "task", "run", task, "--model", *models]
    words += ["--seed", *map(str, sorted(set(seeds.dropna().astype(int))))]
    words += ["--protocol", protocol] if protocol else []
    words += ["--scenario", scenario] if scenario else []
    words += [word for setting in settings for word in ("--set", setting)]
    return shlex.join(words)
