"""Tables that commands write: whether a file that is there is one of them."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Whether a table has all these columns, in any order.

    Args:
        path: ends in .csv, .tsv, .csv.gz, .json or .parquet.
        columns: by name.
    """
    return set(columns) <= set(_columns(path))


def has_prediction(path: Path) -> bool:
    """Whether a table has a column of predictions."""
    return any(name.startswith("predicted_") for name in _columns(path))


def _columns(path: Path) -> list[str]:
    """The columns of a table; none where it is something else."""
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet  # noqa: PLC0415  # slow to import

            return [str(name) for name in parquet.read_schema(path).names]
        if path.suffix == ".json":
            rows: Any = json.loads(path.read_text(encoding="utf-8"))
            return list(rows[0]) if isinstance(rows, list) and isinstance(rows[0], dict) else []
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as handle:
            line = str(handle.readline(1 << 16)).rstrip("\n")
        return line.split("\t" if path.suffix == ".tsv" else ",")
    except (OSError, ValueError, IndexError, EOFError, RecursionError):
        return []
