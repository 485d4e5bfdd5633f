"""Rows of judged models as files and tables."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from sclong_bench.judging.measure import PRIMARY
from sclong_bench.judging.run import JudgedRow
from sclong_bench.judging.verdict import averaged
from sclong_core.errors import InputError
from sclong_core.files import atomic_file

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
_ROUND = 5


def write_rows(path: Path, rows: Sequence[JudgedRow]) -> None:
    """One row a line, so that a change of one is a change of one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(_plain(row)) for row in rows)
    with atomic_file(path) as temporary:
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def read_rows(path: Path) -> list[JudgedRow]:
    """What :func:`write_rows` wrote.

    Raises:
        InputError: the file is missing or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [
            JudgedRow(**{**row, "value": np.nan if row["value"] is None else row["value"]})
            for row in found
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} holds no judged rows: {error}") from error


def print_judged(rows: Sequence[JudgedRow]) -> Iterator[Table]:
    """Macro-F1 of types by model and set, as it is and centred on the target."""
    for centred in (False, True):
        table = averaged(rows, centred=centred)
        if table.empty:
            continue
        words = f"{PRIMARY}, centred" if centred else PRIMARY
        header = (words, *map(str, table.columns))
        yield header, [(str(name), *map(_shown, row)) for name, row in table.iterrows()]


def _shown(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"


def _plain(row: JudgedRow) -> dict[str, object]:
    return {
        name: (None if np.isnan(value) else round(value, _ROUND))
        if isinstance(value, float)
        else value
        for name, value in asdict(row).items()
    }
