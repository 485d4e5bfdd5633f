"""Results as tidy rows, one file a run, and the tables made of them."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.registry import get_task, task_names

FORMAT = "sclong task metrics 1"
PAPER = "paper"
"""Name of the paper's data set in results."""
_PACKAGES = (
    "numpy", "scipy", "pandas", "scikit-learn", "torch", "lightning", "torch-geometric", "rdkit",
)  # fmt: skip


@dataclass(frozen=True)
class ResultRow:
    """One number of one run, with everything that it rests on."""

    task: str
    protocol: str
    scenario: str
    metric: str
    higher_is_better: bool
    stratum: str
    unit: str
    model: str
    variant: str
    seed: int
    value: float
    low: float | None
    high: float | None
    n: int
    split_digest: str
    data_digest: str
    config_digest: str
    checkpoint_digest: str
    code_version: str
    packages: str
    """Names and versions, separated by spaces."""
    wall_seconds: float
    peak_memory_bytes: int
    date: str
    """UTC, ISO 8601."""
    data_set: str = ""
    """"paper" where it is the paper's, as :meth:`.task.Task.is_papers` knows it; else empty."""


def config_digest(config: Mapping[str, Any]) -> str:
    """SHA-256 of settings, whatever their order."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def package_versions() -> str:
    """Versions of what computes, for the record."""
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name}={version(name)}")
        except PackageNotFoundError:
            continue
    return " ".join(found)


def write_metrics(path: Path, rows: Iterable[ResultRow], facts: Mapping[str, Any]) -> None:
    """Write the rows of one run, and facts about the run that are not metrics."""
    content = {"format": FORMAT, "rows": [_row(row) for row in rows], "facts": dict(facts)}
    write_json(path, content)


def read_metrics(path: Path) -> pd.DataFrame:
    """The rows of one ``metrics.json``.

    Raises:
        InputError: it is not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise InputError(f"{path}: format {content['format']!r} is not {FORMAT!r}")
        return pd.DataFrame(content["rows"]).astype({"value": float, "low": float, "high": float})
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is not a metrics file of a run: {error}") from error


def finished_runs(folder: Path) -> list[Path]:
    """The ``metrics.json`` of every run below a folder.

    Hidden folders are skipped: a run that was killed may have left one, half-written.
    """
    return sorted(
        path
        for path in folder.rglob("metrics.json")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_runs(folder: Path) -> pd.DataFrame:
    """The rows of every run below a folder.

    Raises:
        InputError: there is none, or two runs give the same row.
    """
    paths = finished_runs(folder)
    if not paths:
        raise InputError(f"no metrics.json below {folder}: run sclong task run first")
    rows = pd.concat([read_metrics(path) for path in paths], ignore_index=True)
    return refuse_twice(rows, f"below {folder}")


def refuse_twice(rows: pd.DataFrame, where: str) -> pd.DataFrame:
    """The same rows.

    Raises:
        InputError: two runs gave the same row; names the first.
    """
    keys = ["task", "protocol", "scenario", "metric", "stratum", "model", "variant", "seed"]
    twice = rows.duplicated(keys)
    if twice.any():
        first = rows[twice].iloc[0]
        raise InputError(
            f"two runs {where} are {first['model']} ({first['variant']}), "
            f"{first['scenario']}, seed {first['seed']}: keep one of them"
        )
    return rows


def summarise(rows: pd.DataFrame, *, seeds: Iterable[int] | None = None) -> pd.DataFrame:
    """Mean, s.d. (ddof 1) and number of seeds of each metric, model and scenario.

    Args:
        rows: of :func:`read_runs`.
        seeds: those that were asked for; models that lack one are given with the number they
            have, in the column ``missing``.

    Returns:
        One line each, with the mean of the interval ends over seeds.

    Raises:
        InputError: runs on different data, settings or splits would be mixed.
    """
    _refuse_mixed(rows)
    wanted = None if seeds is None else set(seeds)
    keys = ["task", "protocol", "scenario", "metric", "stratum", "unit", "model", "variant"]
    found = []
    for names, group in rows.groupby(keys, sort=False):
        missing = sorted(wanted - set(group["seed"])) if wanted is not None else []
        found.append(
            {
                **dict(zip(keys, names, strict=True)),
                "higher_is_better": bool(group["higher_is_better"].iloc[0]),
                "mean": group["value"].mean(),
                "sd": group["value"].std(ddof=1),
                "seeds": group["seed"].nunique(),
                "missing": " ".join(map(str, missing)),
                "low": group["low"].mean(),
                "high": group["high"].mean(),
                "n": int(group["n"].median()),
                "wall_seconds": group["wall_seconds"].mean(),
                "peak_memory_bytes": group["peak_memory_bytes"].max(),
            }
        )
    return pd.DataFrame(found)


def on_papers_data(rows: pd.DataFrame) -> bool:
    """Whether results of one task are about the paper's data set.

    Args:
        rows: of one task. Runs of earlier versions recorded a digest and not the data set.
    """
    if "data_set" in rows and rows["data_set"].eq(PAPER).any():
        return True
    task = str(rows["task"].iloc[0])
    if task not in task_names() or "data_digest" not in rows:
        return False
    known = get_task(task).papers_digests
    return bool(known) and bool(rows["data_digest"].astype(str).str.startswith(known).any())


def _refuse_mixed(rows: pd.DataFrame) -> None:
    _one_value(rows, ["task", "protocol"], "data_digest", "data")
    _one_value(rows, ["task", "protocol", "scenario", "seed"], "split_digest", "splits")
    _one_value(
        rows, ["task", "protocol", "scenario", "model", "variant"], "config_digest", "settings"
    )
    _one_value(rows, ["task", "model", "variant"], "checkpoint_digest", "checkpoints")


def _one_value(rows: pd.DataFrame, keys: list[str], column: str, what: str) -> None:
    counts = rows.groupby(keys)[column].nunique()
    mixed = counts[counts > 1]
    if len(mixed):
        name = ", ".join(map(str, mixed.index[0]))
        raise InputError(
            f"the runs of {name} use different {what}: they cannot be combined in one table"
        )


def _row(row: ResultRow) -> dict[str, Any]:
    plain = asdict(row)
    for name in ("value", "low", "high"):
        value = plain[name]
        plain[name] = None if value is None or value != value else float(value)  # noqa: PLR0124  # NaN
    return plain
