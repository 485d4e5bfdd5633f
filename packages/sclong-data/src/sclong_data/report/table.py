"""Tables whose numbers stand under each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sclong_data.report.markup import Content, tag

_LARGE = 1e15


@dataclass(frozen=True)
class Ranked:
    """What a cell shows, and the number that a sortable table orders it by."""

    content: str | Element
    by: float
    """NaN stands at the end, whichever way the table is sorted."""


Cell = str | float | int | Element | Ranked | None
"""What a cell of a table may hold; None is an empty one."""


@dataclass(frozen=True)
class Column:
    """A column: its heading, and how its numbers are written."""

    heading: str
    """What it holds, with its unit."""
    decimals: int | None = None
    """Digits behind the point of its numbers; None for a column of text."""
    right: bool = False
    """Align a column of text as numbers are."""
    words: bool = False
    """Keep a column of sentences from becoming narrow."""


@dataclass(frozen=True)
class Table:
    """Rows under headings. The first column names its row."""

    columns: Sequence[Column]
    """Headings and formats."""
    rows: Sequence[Sequence[Cell]]
    """One entry a column."""
    caption: str = ""
    """What the table shows; read by those who cannot see the page."""
    best: int | None = None
    """Number of a row to set apart, if there is one."""
    sortable: bool = False
    """Rows can be ordered by a click on a heading, where the browser runs the page's script."""


def table(content: Table) -> Element:
    """The element of a table, which scrolls sideways where the screen is narrow."""
    head = tag("tr", *(_heading(column) for column in content.columns))
    body = tag("tbody", *(_row(content, number) for number in range(len(content.rows))))
    attributes = {"class_": "sortable"} if content.sortable else {}
    label = {"aria-label": content.caption} if content.caption else {}
    inner = tag("table", tag("thead", head), body, **attributes, **label)
    parts: list[Content] = [inner]
    if content.caption:  # outside the table, so that it is never wider than the screen
        parts.insert(0, tag("p", content.caption, class_="caption", aria_hidden="true"))
    return tag("div", *parts, class_="scroll", tabindex="0", role="region", **label)


def number(value: float, decimals: int) -> str:
    """A number with a fixed count of decimals, thousands set apart, and a true minus sign.

    From :data:`_LARGE` on it has an exponent in place of a row of digits that nobody reads.
    """
    if abs(value) >= _LARGE:
        return f"{value:.{max(decimals, 3)}e}".replace("-", "\N{MINUS SIGN}")
    text = f"{value:,.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.removeprefix("-")
    return text.replace("-", "\N{MINUS SIGN}")


def _heading(column: Column) -> Element:
    return tag("th", column.heading, scope="col", **_alignment(column))


def _row(content: Table, index: int) -> Element:
    pairs = zip(content.columns, content.rows[index], strict=True)
    cells = (_cell(column, value, first=not place) for place, (column, value) in enumerate(pairs))
    return tag("tr", *cells, **({"class_": "best"} if index == content.best else {}))


def _cell(column: Column, value: Cell, *, first: bool) -> Element:
    name, attributes = ("th", {"scope": "row"}) if first else ("td", {})
    shown = value.content if isinstance(value, Ranked) else value
    by = _order(value)
    if not math.isnan(by):
        attributes = {**attributes, "data-by": repr(by)}
    return tag(name, _content(column, shown), **_alignment(column), **attributes)


def _order(value: Cell) -> float:
    if isinstance(value, Ranked):
        return value.by
    return float(value) if isinstance(value, int | float) else math.nan


def _content(column: Column, value: str | float | Element | None) -> Content:
    if value is None:
        return ""
    if isinstance(value, str | Element):
        return value
    return str(value) if column.decimals is None else number(value, column.decimals)


def _alignment(column: Column) -> dict[str, str]:
    if column.right or column.decimals is not None:
        return {"class_": "number"}
    return {"class_": "words"} if column.words else {}
