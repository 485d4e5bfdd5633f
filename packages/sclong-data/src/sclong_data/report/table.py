"""Tables whose numbers stand under each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sclong_data.report.markup import Content, tag

Cell = str | float | int | Element | None
"""What a cell of a table may hold; None is an empty one."""


@dataclass(frozen=True)
class Column:
    """A column: its heading, and how its numbers are written."""

    heading: str
    """What it holds, with its unit."""
    decimals: int | None = None
    """Digits behind the point of its numbers; None for a column of text."""


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


def table(content: Table) -> Element:
    """The element of a table, which scrolls sideways where the screen is narrow."""
    head = tag("tr", *(_heading(column) for column in content.columns))
    body = tag("tbody", *(_row(content, number) for number in range(len(content.rows))))
    parts: Iterable[Content] = (tag("thead", head), body)
    if content.caption:
        parts = (tag("caption", content.caption), *parts)
    inner = tag("table", *parts)
    return tag(
        "div",
        inner,
        class_="scroll",
        tabindex="0",
        role="region",
        **{"aria-label": content.caption},
    )


def number(value: float, decimals: int) -> str:
    """A number with a fixed count of decimals, thousands set apart, and a true minus sign."""
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
    return tag(name, _content(column, value), **_alignment(column), **attributes)


def _content(column: Column, value: Cell) -> Content:
    if value is None:
        return ""
    if isinstance(value, str | Element):
        return value
    return str(value) if column.decimals is None else number(value, column.decimals)


def _alignment(column: Column) -> dict[str, str]:
    return {} if column.decimals is None else {"class_": "number"}
