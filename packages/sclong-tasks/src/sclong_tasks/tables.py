"""Tables of many runs, in Markdown, with the paper's numbers in a column of their own."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from sclong_core.errors import InputError
from sclong_core.escaping import for_markdown, from_spreadsheet, table_for_spreadsheet
from sclong_core.files import atomic_file
from sclong_tasks.registry import get_task, task_names
from sclong_tasks.results import on_papers_data, read_runs, refuse_twice, summarise

_TEXT = ("variant", "checkpoint_digest", "split_digest", "data_digest", "config_digest")
_WITHOUT = ("packages", "code_version", "date")
"""Columns that say the same in all rows of a table of one day, and make it large."""


ROW_COLUMNS = ("task", "protocol", "scenario", "metric")
"""The first of a file of :func:`write_rows`."""


def write_rows(rows: pd.DataFrame, path: Path) -> None:
    """Write tidy rows as ``.csv`` or ``.csv.gz``, sorted, digests shortened to eight characters."""
    table = _shortened(rows.drop(columns=list(_WITHOUT)))
    keys = ["task", "protocol", "scenario", "model", "variant", "seed"]
    with atomic_file(path) as temporary:
        packing = {"method": "gzip", "mtime": 0} if path.suffix == ".gz" else None
        table_for_spreadsheet(table.sort_values(keys, kind="stable")).to_csv(
            temporary, index=False, float_format="%.6g", compression=packing
        )


def read_rows(path: Path) -> pd.DataFrame:
    """Rows that :func:`write_rows` wrote.

    Raises:
        InputError: it is not such a file.
    """
    numbers = {name: [""] for name in ("value", "low", "high")}
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=numbers)
        table = table.assign(**dict.fromkeys(_WITHOUT, "")).astype(dict.fromkeys(_TEXT, str))
        named = list(table.select_dtypes(object))
        return table.assign(**{name: table[name].map(from_spreadsheet) for name in named})
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} has no rows of results: {error}") from error


def collect(places: Sequence[Path]) -> pd.DataFrame:
    """Rows of folders of runs, and of files that :func:`write_rows` wrote, together.

    Raises:
        InputError: a place has no rows, or two have the same run.
    """
    parts = [read_rows(place) if place.is_file() else read_runs(place) for place in places]
    if len(parts) == 1:
        return parts[0]
    # Files hold shortened digests: what belongs together has to look alike.
    rows = pd.concat([_shortened(part) for part in parts], ignore_index=True)
    return refuse_twice(rows, f"in {', '.join(map(str, places))}")


def fill_page(page: str, name: str, tables: str) -> str:
    """A page with its block ``<!-- results NAME -->`` ... ``<!-- end -->`` filled again.

    Raises:
        InputError: there is no such block.
    """
    return fill_block(page, f"results {name}", tables)


def fill_block(page: str, marker: str, text: str) -> str:
    """A page with its block ``<!-- MARKER -->`` ... ``<!-- end -->`` filled again.

    Raises:
        InputError: there is no such block.
    """
    begin, end = f"<!-- {marker} -->", "<!-- end -->"
    start = page.find(begin)
    stop = page.find(end, start)
    if start < 0 or stop < 0:
        raise InputError(f"the page has no block {begin} ... {end}: add one")
    return f"{page[: start + len(begin)]}\n\n{text}\n{page[stop:]}"


def markdown_tables(
    rows: pd.DataFrame,
    seeds: Iterable[int] | None = None,
    metrics: Sequence[str] | None = None,
) -> str:
    """A table for each task, protocol and scenario: models as lines, metrics as columns.

    Args:
        rows: of :func:`~sclong_tasks.results.read_runs`.
        seeds: those that each model should have; models that lack some are marked.
        metrics: columns to show in this order, as tables name them ("auroc", "auroc, new
            compounds"); all of them by default.
    """
    summary = summarise(rows, seeds=None if seeds is None else list(seeds))
    parts = []
    groups = summary.groupby(["task", "protocol", "scenario"], sort=False)
    for (task, protocol, scenario), group in sorted(groups, key=lambda item: _place(*item[0])):
        heading = f"{task}, {protocol} protocol, split {scenario!r}"
        parts.append(f"### {for_markdown(heading)}\n")
        mine = rows[rows["task"].eq(task) & rows["protocol"].eq(protocol)]
        papers = _published(str(task), str(scenario)) if on_papers_data(mine) else {}
        parts.append(_table(group, papers, metrics))
    return "\n".join(parts)


def _place(task: str, protocol: str, scenario: str) -> tuple[str, int, int, str]:
    """Published first, then splits in the order of the task."""
    known = get_task(task).scenarios if task in task_names() else {}
    names = [str(name) for name in known.get(protocol, ())]  # type: ignore[call-overload]  # any text
    place = names.index(scenario) if scenario in names else len(names)
    return task, 0 if protocol == "published" else 1, place, scenario


def _table(
    group: pd.DataFrame,
    published: Mapping[tuple[str, str], Mapping[str, str]],
    wanted: Sequence[str] | None,
) -> str:
    metrics = list(dict.fromkeys(zip(group["metric"], group["stratum"], strict=True)))
    if wanted is not None:
        metrics = [one for name in wanted for one in metrics if _column(one) == name] or metrics
    names = [_column(metric) for metric in metrics]
    paper = dict(published.get(metrics[0], {}))
    lines = [
        _line(["model", "seeds", "n", *names, "95 % interval", "paper", "s"]),
        "|" + "---|" * (len(names) + 6),
    ]
    models = group.groupby(["model", "variant"], sort=False)
    first = metrics[0]
    for (model, variant), found in sorted(models, key=lambda item: -_value(item[1], first)):
        cells = [model + (f" ({variant})" if variant else "")]
        line = found.iloc[0]
        missing = f" (missing: {line['missing']})" if line["missing"] else ""
        cells.append(f"{line['seeds']}{missing}")
        cells.append(f"{line['n']:,}")
        cells += [_cell(found, metric) for metric in metrics]
        cells.append(_interval(found, first))
        cells.append(paper.pop(model, ""))
        cells.append(f"{line['wall_seconds']:.0f}")
        lines.append(_line(cells))
    for model, value in paper.items():
        lines.append(_line([model, "", "", *[""] * len(names), "", value, ""]))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(for_markdown, cells))} |"


def _column(metric: tuple[str, str]) -> str:
    name, stratum = metric
    return name if stratum == "all" else f"{name}, {stratum}"


def _of(found: pd.DataFrame, metric: tuple[str, str]) -> pd.DataFrame:
    return found[(found["metric"] == metric[0]) & (found["stratum"] == metric[1])]


def _value(found: pd.DataFrame, metric: tuple[str, str]) -> float:
    here = _of(found, metric)
    if here.empty or here["mean"].isna().iloc[0]:
        return float("-inf")
    value = float(here["mean"].iloc[0])
    return value if here["higher_is_better"].iloc[0] else -value


def _cell(found: pd.DataFrame, metric: tuple[str, str]) -> str:
    here = _of(found, metric)
    if here.empty or here["mean"].isna().iloc[0]:
        return "not defined"
    mean, sd = here["mean"].iloc[0], here["sd"].iloc[0]
    return f"{mean:.3f}" if pd.isna(sd) else f"{mean:.3f} ± {sd:.3f}"


def _interval(found: pd.DataFrame, metric: tuple[str, str]) -> str:
    here = _of(found, metric)
    if here.empty or here["low"].isna().iloc[0]:
        return ""
    line = here.iloc[0]
    return f"{line['low']:.3f} to {line['high']:.3f} ({line['unit']}s)"


def _published(task: str, scenario: str) -> dict[tuple[str, str], dict[str, str]]:
    """The paper's numbers of a split, by metric and stratum, then by model."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for number in get_task(task).published if task in task_names() else ():
        if number.scenario == scenario:
            of_metric = found.setdefault((number.metric, number.stratum), {})
            of_metric[number.model] = f"{number.value:.3f}"
    return found


def _shortened(rows: pd.DataFrame) -> pd.DataFrame:
    digests = [name for name in rows if str(name).endswith("_digest")]
    return rows.assign(**{name: rows[name].str[:8] for name in digests})
