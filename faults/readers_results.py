"""Readers of sclong-bench: folders of runs, and tables of results in every format."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faults.readers_data import METRICS, write_text
from faults.trials import Reader
from sclong_bench.results.reading import read_results

_ROWS = [
    {"task": "t", "metric": "m", "model": model, "seed": seed, "value": 0.1 * seed, "n": 5}
    for model in "ab"
    for seed in (1, 2)
]
_FAILED = {
    "task": "t",
    "model": "b",
    "protocol": "honest",
    "scenario": "s",
    "seed": 1,
    "reason": "no memory",
}
Generator = np.random.Generator


def _write_runs(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / "runs" / name).mkdir(parents=True)
    (folder / "runs/one/metrics.json").write_text(json.dumps(METRICS, indent=1))
    (folder / "runs/two/failed.json").write_text(json.dumps(_FAILED, indent=1))


def _write_parquet(folder: Path) -> None:
    pd.DataFrame(_ROWS).to_parquet(folder / "results.parquet")


def _read(name: str) -> Any:
    return lambda folder: read_results(folder / name).rows.to_numpy().tolist()


def _no_value(folder: Path, generator: Generator) -> None:
    """A value that lacks, and nothing that says why: no mean may be made without it."""
    rows = [{**row, "value": str(row["value"])} for row in _ROWS]
    rows[int(generator.integers(len(rows)))]["value"] = ""
    pd.DataFrame(rows).to_parquet(folder / "results.parquet")


def _twice(folder: Path, generator: Generator) -> None:
    again = {**_ROWS[int(generator.integers(len(_ROWS)))], "value": 0.9}
    pd.DataFrame([*_ROWS, again]).to_parquet(folder / "results.parquet")


READERS = (
    Reader("folder of runs", _write_runs, _read("runs")),
    Reader("results in JSON", write_text("r.json", json.dumps(_ROWS, indent=1)), _read("r.json")),
    Reader(
        "results in TSV",
        write_text("r.tsv", pd.DataFrame(_ROWS).to_csv(sep="\t", index=False)),
        _read("r.tsv"),
    ),
    Reader(
        "results in parquet",
        _write_parquet,
        _read("results.parquet"),
        planted={"no value and no reason": _no_value, "a run twice": _twice},
    ),
)
