"""What a table of results holds, and how any table becomes one.

Five columns are needed: task, metric, model, seed, value. All others are filled in where they are
missing: no scenario is one scenario, no digest is nothing to check.
"""

import difflib
import logging
import math
import operator
import re
import sys
from collections.abc import Callable
from typing import Any

import pandas as pd

from sclong_core.errors import InputError

REQUIRED = ("task", "metric", "model", "seed", "value")
"""Columns that every table must have."""
TEXT = (
    *("protocol", "scenario", "stratum", "unit", "variant", "role", "reason", "command"),
    *("split_digest", "data_digest", "config_digest", "checkpoint_digest"),
    *("code_version", "packages", "date", "data_set"),
)
"""Columns of text, empty where they are missing."""
NUMBERS = ("low", "high", "n", "wall_seconds", "peak_memory_bytes")
"""Columns of numbers, NaN where they are missing."""
AMOUNTS = ("n", "wall_seconds", "peak_memory_bytes")
"""Those of them that are never infinite."""
SETTING = ["task", "protocol", "scenario", "stratum", "metric"]
"""What makes results comparable: only models within one setting are compared."""
RUN = ["task", "protocol", "scenario", "model", "variant", "seed"]
"""What tells runs apart."""
LABEL, SOURCE = "label", "source"
"""Columns that are added: the model with its variant, and where the row comes from."""

LARGEST, SMALLEST = 1e70, 1e-70
"""Numbers that are further from zero are refused, such that are nearer are taken for zero: the
fourth powers of others, of which tests are made, leave the range of double precision."""
_MOST = 2.0**63
_MOST_DIGITS = 24
_DEFAULTS = {"stratum": ("", "all"), "variant": ("", "default")}
"""Names that say no more than an empty cell does."""
_LOWER_IS_BETTER = frozenset(
    ("mse", "rmse", "mae", "nll", "loss", "error", "perplexity", "distance", "wasserstein", "mmd")
)
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_LOGGER = logging.getLogger("sclong")

Place = Callable[[int], str]
"""From the number of a row, from 0, to words: "results.csv, line 3"."""


def tidy(frame: pd.DataFrame, place: Place | None = None) -> pd.DataFrame:
    """A checked table of results with every column, whatever the order and case of its headings.

    Args:
        frame: any table with the required columns. A row whose value is missing must say why in
            the column "reason": it is a run that failed, or could not be made.
        place: names a row in messages.

    Raises:
        InputError: names the row and the column, and says what to do.
    """
    where = place or (lambda row: f"row {row + 1}")
    frame = _named(frame)
    columns: dict[str, list[Any]] = {
        name: [_text(value) for value in frame[name]] if name in frame else [""] * len(frame)
        for name in ("task", "metric", "model", *TEXT)
    }
    for name in ("task", "metric", "model"):
        for row, text in enumerate(columns[name]):
            if not text:
                raise InputError(f"{where(row)}, column {name!r} is empty: every row needs one")
    for name, ignored in _DEFAULTS.items():
        columns[name] = ["" if text in ignored else text for text in columns[name]]
    columns["seed"] = [_seed(value, where(row)) for row, value in enumerate(frame["seed"])]
    columns["value"] = [
        _value(value, columns["reason"][row], where(row))
        for row, value in enumerate(frame["value"])
    ]
    for name in NUMBERS:
        given = frame[name] if name in frame else [None] * len(frame)
        columns[name] = [_number(value, name, where(row)) for row, value in enumerate(given)]
    columns["higher_is_better"] = _directions(frame, columns, where)
    columns[LABEL] = [
        label(*pair) for pair in zip(columns["model"], columns["variant"], strict=True)
    ]
    columns[SOURCE] = [where(row) for row in range(len(frame))]
    found = pd.DataFrame(columns).astype({"seed": "Int64", "value": float})
    _refuse_repeats(found)
    return found


def label(model: str, variant: str) -> str:
    """The model as tables name it."""
    return f"{model} ({variant})" if variant else model


def failed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of runs that gave no value, each with its reason."""
    return rows[rows["reason"].ne("") & rows["value"].isna()]


def measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of runs that were made, also where a metric is not defined or infinite."""
    return rows[rows["reason"].eq("") | rows["value"].notna()]


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with headings in lower case."""
    names = [str(name).strip().lower().replace(" ", "_") for name in frame.columns]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise InputError(f"column {sorted(repeated)[0]!r} occurs twice: rename or remove one")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        near = difflib.get_close_matches(missing[0], names, n=1)
        hint = f"; is {near[0]!r} meant?" if near else ""
        raise InputError(
            f"column {missing[0]!r} is missing: a table of results needs {', '.join(REQUIRED)}, "
            f"this one has {', '.join(map(str, frame.columns)) or 'no columns'}{hint}"
        )
    return frame.set_axis(names, axis=1).reset_index(drop=True)


def _text(value: Any) -> str:
    return "" if _absent(value) else str(value).strip()


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _number(value: Any, column: str, place: str) -> float:
    """A number that can be squared and summed; NaN where there is none.

    Infinity is a value that a metric may have; what is close to it is a mistake.
    """
    if _absent(value) or (isinstance(value, str) and not value.strip()):
        return math.nan
    if isinstance(value, bool):
        raise InputError(f"{place}, column {column!r}: {value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = sys.float_info.max  # an integer of more digits
    except (TypeError, ValueError):
        raise InputError(f"{place}, column {column!r}: {value!r} is not a number") from None
    if LARGEST < abs(number) < math.inf:
        raise InputError(
            f"{place}, column {column!r}: {_shortened(value)} is too large; numbers go up to "
            f"{LARGEST:g}"
        )
    if column in AMOUNTS and abs(number) >= _MOST:
        raise InputError(
            f"{place}, column {column!r}: {_shortened(value)} is too large; it is a number of "
            "rows, seconds or bytes, below 2^63"
        )
    return 0.0 if abs(number) < SMALLEST else number


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MOST_DIGITS else f"{text[:_MOST_DIGITS]}..."


def _value(value: Any, reason: str, place: str) -> float:
    empty = value is None or value is pd.NA or (isinstance(value, str) and not value.strip())
    if empty and not reason:
        raise InputError(
            f"{place}, column 'value' is empty: give the number, write nan for a metric that is "
            "not defined, or say in a column 'reason' why there is none"
        )
    return _number(value, "value", place)


def _seed(value: Any, place: str) -> int | None:
    """An integer; none for a model that has no seed because nothing in it is random."""
    exact = _whole(value)
    if exact is not None:  # as a float it would lose digits from 2^53 on
        if not -(2**63) <= exact < 2**63:
            raise InputError(
                f"{place}, column 'seed': {_shortened(value)} is too large; seeds are whole "
                "numbers of 64 bits, from -2^63 to 2^63 - 1"
            )
        return exact
    number = _number(value, "seed", place)
    if math.isnan(number):
        return None
    if abs(number) >= 2**63 or number != int(number):
        raise InputError(
            f"{place}, column 'seed': {value!r} is not a whole number; leave it empty "
            "for a deterministic model"
        )
    return int(number)


def _whole(value: Any) -> int | None:
    """The integer that a cell holds or spells; None where it is something else."""
    if isinstance(value, bool):
        return None
    try:
        return int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError):
        return None


def _directions(frame: pd.DataFrame, columns: dict[str, list[Any]], where: Place) -> list[bool]:
    """Whether higher is better, for each row; by the name of the metric where nobody says."""
    if "higher_is_better" not in frame:
        given: list[bool | None] = [None] * len(frame)
    else:
        given = [_truth(value, where(row)) for row, value in enumerate(frame["higher_is_better"])]
    known: dict[str, bool] = {}
    for row, (metric, direction) in enumerate(zip(columns["metric"], given, strict=True)):
        if direction is not None and known.setdefault(metric, direction) != direction:
            raise InputError(
                f"{where(row)}, column 'higher_is_better' contradicts an earlier row of "
                f"{metric!r}: a metric has one direction"
            )
    for metric in sorted(set(columns["metric"]) - set(known)):
        known[metric] = not _LOWER_IS_BETTER & set(re.split(r"[\W_\d]+", metric.lower()))
        words = "higher" if known[metric] else "lower"
        _LOGGER.info(
            "metric %r: %s is better, inferred from its name (set higher_is_better)", metric, words
        )
    return [known[metric] for metric in columns["metric"]]


def _truth(value: Any, place: str) -> bool | None:
    text = _text(value).lower().removesuffix(".0")
    if not text:
        return None
    if text not in _TRUTHS:
        raise InputError(f"{place}, column 'higher_is_better': {value!r} is neither true nor false")
    return _TRUTHS[text]


def _refuse_repeats(rows: pd.DataFrame) -> None:
    keys = [*SETTING, LABEL, "seed"]
    repeated = rows.duplicated(keys)
    if repeated.any():
        second = rows[repeated].iloc[0]
        same = rows[keys].fillna(-1).eq(second[keys].fillna(-1)).all(axis=1)
        first = rows[same].iloc[0]
        seed = "no seed" if pd.isna(second["seed"]) else f"seed {second['seed']}"
        raise InputError(
            f"{second[SOURCE]} repeats {first[SOURCE]}: {second['task']}, {second['metric']}, "
            f"{second[LABEL]}, {seed}; keep one of them"
        )
