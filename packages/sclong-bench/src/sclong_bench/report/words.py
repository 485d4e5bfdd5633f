"""Numbers and names as a reader sees them."""

import math

from sclong_data.report.markup import Content, tag
from sclong_data.report.table import Ranked, number

_UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))
_BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
LEVEL = 0.05
"""Of the false discovery rate at which a difference is called clear."""
_MOST_DIGITS = 17
"""Tell any two numbers apart."""
_HEADINGS = {"grn": "Gene regulatory networks"}
"""Of tasks that are called by letters."""
NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""


def decimals_for(*values: float) -> int:
    """Digits behind the point that show values of this size in three digits, at most 6."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=1.0)
    if largest == 0:
        return 3
    return min(6, max(0, 2 - math.floor(math.log10(largest)))) if largest < 100 else 1


def plain(value: float, decimals: int) -> str:
    """A number, or a dash; infinite ones as a sign."""
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "\N{MINUS SIGN}∞"
    return number(value, decimals)


def interval(low: float, high: float, decimals: int) -> str:
    """Both ends in brackets; empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{plain(low, decimals)}, {plain(high, decimals)}]"


def p_text(value: float) -> str:
    """A p-value as journals print it: two digits, never "0".

    Near the level at which a difference is called clear it has as many digits as it takes to see
    on which side it is.
    """
    if math.isnan(value):
        return NOTHING
    if value < 1e-4:
        return "< .0001"
    digits = 2
    while float(f"{value:.{digits}g}") == LEVEL != value and digits < _MOST_DIGITS:
        digits += 1
    return f"{value:.{digits}g}".removeprefix("0") if value < 0.9995 else "1"


def p_cell(value: float) -> Ranked:
    """A p-value that a table is sorted by."""
    return Ranked(p_text(value), value)


def duration(seconds: float) -> str:
    """Seconds in a unit that fits."""
    if math.isnan(seconds):
        return NOTHING
    size, unit = next((entry for entry in _UNITS if seconds >= 2 * entry[0]), _UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def memory(count: float) -> str:
    """Bytes in a unit that fits."""
    if math.isnan(count) or count <= 0:
        return NOTHING
    size, unit = next((entry for entry in _BYTES if count >= entry[0]), _BYTES[-1])
    return f"{count / size:.3g} {unit}"


def counted(count: int, word: str) -> str:
    """A number with its word: "1 run", "2 runs"."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def listed(words: list[str], *, most: int = 6) -> str:
    """Words with commas; the rest of a long list as a number."""
    shown = words[:most]
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(shown) + more


def name_of(text: str) -> str:
    """A name of a column as words: "drug_response" is "drug response"."""
    return text.replace("_", " ")


def heading_of(task: str) -> str:
    """A task as a heading: "drug_response" is "Drug response"."""
    return _HEADINGS.get(task, name_of(task).capitalize())


def breakable(name: str) -> list[Content]:
    """A name that goes over the end of a narrow line behind an underscore, not amid a word."""
    first, *others = name.replace("_", "_\n").split("\n")
    return [first, *(part for other in others for part in (tag("wbr"), other))]
