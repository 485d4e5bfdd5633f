"""Results from files: folders of runs, CSV, TSV, JSON, parquet."""

import csv
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sclong_bench.results.schema import Place, tidy
from sclong_core.errors import InputError
from sclong_core.escaping import from_spreadsheet
from sclong_core.files import read_json
from sclong_tasks.results import finished_runs

METRICS = "metrics.json"
"""File of a run's folder that holds its rows."""
FAILED = "failed.json"
"""File of a run that failed: what was to be run, and the reason."""
TUNING, LEAKAGE = "tuning_budget", "leak"
"""A fact of a run, and what the names of others hold; columns of a table with such names are
facts of its rows."""
_LARGEST = 2**30
_LOGGER = logging.getLogger("sclong")


@dataclass(frozen=True, eq=False)
class Results:
    """A checked table, and what runs say of themselves beside their numbers."""

    rows: pd.DataFrame
    """As :func:`sclong_bench.results.schema.tidy` gives it."""
    name: str
    """Of the folder or file."""
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By the place that the rows of the run have as their source."""
    folders: Mapping[str, Path] = field(default_factory=dict)
    """The same for the folder of the run."""


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read results.

    Args:
        path: a folder with runs anywhere below it, a ``metrics.json``, or a table: ``.csv``,
            ``.tsv``, ``.json`` (a list of rows) or ``.parquet``.

    Raises:
        InputError: names the file, and the row and column where there is one.
    """
    found = Path(path)
    if found.is_dir():
        return _runs(found)
    if not found.is_file():
        raise InputError(f"{found} does not exist: give a folder of runs or a table of results")
    if found.stat().st_size > _LARGEST:
        raise InputError(f"{found} is larger than 1 GiB: it is not a table of results")
    if found.suffix == ".json":
        rows, facts = _json(found)
        place = _rows_of(found.name)
        sources = {place(row): facts for row in range(len(rows))} if facts else {}
        return Results(_tidied(pd.DataFrame(rows, dtype=object), found, place), found.stem, sources)
    if found.suffix in (".csv", ".tsv"):
        return _table(_csv(found), found, _lines_of(found.name))
    if found.suffix in (".parquet", ".pq"):
        return _table(_parquet(found), found, _rows_of(found.name))
    raise InputError(
        f"{found}: results are read from folders of runs, .csv, .tsv, .json and .parquet"
    )


def _table(frame: pd.DataFrame, path: Path, place: Place) -> Results:
    """A table of results, with what its columns say of leakage and tuning as facts of each row."""
    facts: dict[str, dict[str, Any]] = {}
    for name in frame.columns:
        if str(name).lower() != TUNING and LEAKAGE not in str(name).lower():
            continue
        for row, said in enumerate(frame[name]):
            if isinstance(said, str) and said.strip():
                facts.setdefault(place(row), {})[str(name).lower()] = said.strip()
    return Results(_tidied(frame, path, place), path.stem, facts)


def _runs(folder: Path) -> Results:
    paths = finished_runs(folder)
    if not paths:
        raise InputError(
            f"there is no {METRICS} below {folder}: pass the folder that sclong task run wrote"
        )
    rows: list[dict[str, Any]] = []
    places: list[str] = []
    facts: dict[str, Mapping[str, Any]] = {}
    folders: dict[str, Path] = {}
    for path in paths:
        name = str(path.parent.relative_to(folder)) if path.parent != folder else folder.name
        found, said = _json(path)
        if not found:
            raise InputError(f"{path} holds no rows: run it again")
        rows += found
        places += [name] * len(found)
        facts[name], folders[name] = said, path.parent
    for path in sorted(folder.rglob(FAILED)):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue  # left by a run that was killed
        found = _failed(path, rows)
        rows += found
        places += [str(path.parent.relative_to(folder))] * len(found)
    frame = pd.DataFrame(rows, dtype=object)  # as they are: pandas cannot hold every integer
    tidied = _tidied(frame, folder, places.__getitem__)
    return Results(tidied, folder.name, facts, folders)


def _failed(path: Path, done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each metric that the run would have had, by other runs of its split or task."""
    try:
        run = read_json(path)
        kept = {name: run[name] for name in ("task", "model", "protocol", "scenario", "seed")}
        kept["reason"] = str(run["reason"]) or "no reason given"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not tell what failed: {error!r}") from None
    of_task = [row for row in done if row.get("task") == kept["task"]]
    names = ("protocol", "scenario")
    of_split = [row for row in of_task if all(row.get(name) == kept[name] for name in names)]
    columns = ("metric", "stratum", "higher_is_better", "unit")
    metrics = {tuple(row.get(name) for name in columns) for row in of_split or of_task}
    if not metrics:
        _LOGGER.warning("%s: no run of %s was made, so that it has no metrics", path, kept["task"])
    return [
        {**kept, **dict(zip(columns, metric, strict=True)), "value": None}
        for metric in sorted(metrics, key=repr)
    ]


def _tidied(frame: pd.DataFrame, path: Path, place: Place) -> pd.DataFrame:
    if frame.empty:
        raise InputError(f"{path} holds no rows: there is nothing to compare")
    try:
        return tidy(frame, place)
    except InputError as error:
        text = str(error)
        raise (InputError(f"{path}: {text}") if path.name not in text else error) from None


def _csv(path: Path) -> pd.DataFrame:
    """All cells as text: what "nan" and an empty cell mean is for the schema to say."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            lines = [
                list(map(from_spreadsheet, line))
                for line in csv.reader(handle, delimiter="\t" if path.suffix == ".tsv" else ",")
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a table of text in UTF-8: {error}") from None
    lines = [line for line in lines if any(cell.strip() for cell in line)] or [[]]
    heading = lines[0]
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(heading):
            raise InputError(
                f"{path}, line {number} has {len(line)} cells, the heading has {len(heading)}"
            )
    return pd.DataFrame(lines[1:], columns=heading, dtype=object)


def _parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are of these two kinds
        raise InputError(f"{path} is not a parquet file: {error}") from None


def _json(path: Path) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    try:
        content = read_json(path)
    except (UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    rows = content.get("rows") if isinstance(content, dict) else content
    facts = content.get("facts") if isinstance(content, dict) else {}
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} is not a list of rows: each must be an object of columns")
    found = [{**row, "value": float("nan")} if _undefined(row) else row for row in rows]
    return found, facts if isinstance(facts, dict) else {}


def _undefined(row: Mapping[str, Any]) -> bool:
    """JSON has no NaN: a run writes null for a metric that is not defined."""
    return "value" in row and row["value"] is None and not row.get("reason")


def _lines_of(name: str) -> Place:
    return lambda row: f"{name}, line {row + 2}"


def _rows_of(name: str) -> Place:
    return lambda row: f"{name}, row {row + 1}"
