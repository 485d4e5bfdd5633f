"""Make ``published.parquet`` from ``published.tsv``: ``python -m sclong_bench.published.build``."""

import csv
from importlib.resources import files
from pathlib import Path

import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import atomic_file

FOLDER = Path(str(files("sclong_bench.published")))
SOURCE, PARQUET = FOLDER / "published.tsv", FOLDER / "published.parquet"
KINDS = ("result", "claim", "size", "axis")
"""A value of a metric; a statement about several; a count of data; an end of a figure's axis."""
ORIGINS = ("paper", "history", "upstream")


def build(source: Path = SOURCE) -> pd.DataFrame:
    """The typed table.

    Beside the columns of the source it has ``printed`` (the value as text), ``decimals`` (digits
    behind its point), and ``relation`` and ``p_relation``: "=", "<", ">".

    Raises:
        InputError: names the line and the column.
    """
    with source.open(encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = [_row(line, f"{source.name}, line {number}") for number, line in enumerate(lines, 2)]
    return pd.DataFrame(rows).astype(
        {"decimals": "Int64", "n": "Int64", "higher_is_better": "boolean"}
    )


def write(source: Path = SOURCE, path: Path = PARQUET) -> None:
    """Write the parquet, whole or not at all."""
    with atomic_file(path) as temporary:
        build(source).to_parquet(temporary, index=False)


def _row(line: dict[str, str], place: str) -> dict[str, object]:
    if line["kind"] not in KINDS or line["origin"] not in ORIGINS:
        raise InputError(f"{place}: kind {line['kind']!r} or origin {line['origin']!r} is unknown")
    relation, printed = _relation(line["value"])
    p_relation, p_value = _relation(line["p_value"])
    return {
        **{name: line[name] for name in ("kind", "task", "scenario", "metric", "model")},
        "higher_is_better": {"true": True, "false": False}.get(line["higher_is_better"]),
        "value": _number(printed, "value", place),
        "relation": relation,
        "printed": printed,
        "decimals": len(printed.partition(".")[2]) if printed else None,
        "sd": _number(line["sd"], "sd", place),
        "n": int(line["n"]) if line["n"] else None,
        "p_value": _number(p_value, "p_value", place),
        "p_relation": p_relation,
        **{name: line[name] for name in ("origin", "source", "note")},
    }


def _relation(text: str) -> tuple[str, str]:
    """Split "< 0.04" in two; a number alone is equal."""
    first, _, rest = text.partition(" ")
    return (first, rest) if rest else ("=" if text else "", text)


def _number(text: str, column: str, place: str) -> float:
    try:
        return float(text.replace(",", "")) if text else float("nan")
    except ValueError:
        raise InputError(f"{place}, column {column!r}: {text!r} is not a number") from None


if __name__ == "__main__":
    write()
