"""Bars of means with every run as a dot, the spread as a whisker, and a published value beside."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sclong_data.report.markup import plain_number, tag
from sclong_data.report.scale import Scale, ticks
from sclong_data.report.svg import WIDTH, Box, Text, horizontal_axis, picture
from sclong_data.report.table import number

_ROW = 34.0
_TOP, _BELOW = 10.0, 44.0
_LETTER = 7.4
_MOST_FOR_NAMES = 150.0
_VALUES = 54.0
_ZOOM_MARGIN = 0.06
_GAP = 6.0
"""Between a mark and words beside it."""


@dataclass(frozen=True)
class Runs:
    """One line of the figure."""

    name: str
    values: Sequence[float]
    """Of the runs; those that are not numbers are left out."""
    spread: float = 0.0
    """Half length of the whisker."""
    published: float | None = None
    """A value from elsewhere, drawn as a mark of its own."""
    emphasis: bool = False
    note: str = ""
    """Stands where there is no value: why."""


def run_chart(
    text: Text, lines: Sequence[Runs], *, label: str, decimals: int = 3, enlarged: bool = False
) -> Element:
    """A figure of runs, a line each, from top to bottom.

    Args:
        text: title and description.
        lines: at least one.
        label: of the axis.
        decimals: of the means that stand at the right.
        enlarged: show only the range that values take, and no bars: a bar that does not start at
            zero would mislead.
    """
    names = [_shortened(line.name) for line in lines]
    left = min(_MOST_FOR_NAMES, max(60.0, _LETTER * max(map(len, names)) + 14))
    height = _TOP + _ROW * len(lines) + _BELOW
    box = Box(left=left, top=_TOP, right=WIDTH - _VALUES, bottom=height - _BELOW)
    values, low, high = _range(lines, enlarged=enlarged)
    scale = Scale(low, high, box.left, box.right)
    content = [horizontal_axis(box, scale, values, label, grid=True)]
    for place, (line, name) in enumerate(zip(lines, names, strict=True)):
        middle = _TOP + _ROW * (place + 0.5)
        content.append(
            _line(line, name, scale, middle, decimals=decimals, bar=not enlarged, box=box)
        )
    if not enlarged:
        zero = scale(0)
        content.append(tag("line", x1=zero, x2=zero, y1=box.top, y2=box.bottom, class_="axis"))
    return picture(text, height, content)


def run_legend(*, published: bool) -> Element:
    """What the marks mean."""
    entries = [
        (tag("circle", r=3.4, class_="run"), "one run"),
        (tag("path", d="M-7 0H7M-7 -3V3M7 -3V3", class_="whisker"), "mean ± s.d."),
    ]
    if published:
        entries.append((tag("path", d="M0 -7V7", class_="published"), "published"))
    items = (
        tag("li", tag("svg", mark, viewBox="-8 -8 16 16", aria_hidden="true"), tag("span", words))
        for mark, words in entries
    )
    return tag("ul", *items, class_="legend")


def _range(lines: Sequence[Runs], *, enlarged: bool) -> tuple[tuple[float, ...], float, float]:
    """Ticks and ends of the axis; an enlarged one ends where values do."""
    shown: list[float] = [] if enlarged else [0.0]
    for line in lines:
        finite = _finite(line)
        if finite:
            mean = math.fsum(finite) / len(finite)
            shown += [*finite, mean - line.spread, mean + line.spread]
        if line.published is not None:
            shown.append(line.published)
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    if not enlarged or not high > low:
        values = ticks(low, high, most=5)
        return values, values[0], values[-1]
    margin = _ZOOM_MARGIN * (high - low)
    low, high = low - margin, high + margin
    inside = tuple(value for value in ticks(low, high, most=6) if low <= value <= high)
    return inside, low, high


def _finite(line: Runs) -> list[float]:
    return [value for value in line.values if math.isfinite(value)]


def _shortened(name: str) -> str:
    most = int((_MOST_FOR_NAMES - 14) / _LETTER)
    half = most // 2
    short = f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[half + 1 - most :]}"
    return name if len(name) <= most else short  # names that begin alike often end apart


def _line(
    line: Runs, name: str, scale: Scale, middle: float, *, decimals: int, bar: bool, box: Box
) -> Element:
    emphasis = "strong" if line.emphasis else ""
    parts = [tag("title", line.name)]
    parts.append(tag("text", name, x=box.left - 8, y=middle + 4, class_=f"end {emphasis}".strip()))
    finite = _finite(line)
    if finite:
        parts += _marks(line, finite, scale, middle, bar=bar)
        mean = number(math.fsum(finite) / len(finite), decimals)
        parts.append(tag("text", mean, x=WIDTH, y=middle + 4, class_=f"end {emphasis or 'value'}"))
    elif line.note:
        start = box.left + _GAP
        if line.published is not None:
            mark = scale(line.published)
            if mark < start + _LETTER * len(line.note):  # it would stand in the words
                start = max(start, mark + _GAP)
        parts.append(tag("text", line.note, x=start, y=middle + 4, class_="missing"))
    if line.published is not None:
        x = plain_number(scale(line.published))
        path = f"M{x} {plain_number(middle - 13)}V{plain_number(middle + 13)}"
        parts.append(tag("path", tag("title", "published"), d=path, class_="published"))
    return tag("g", *parts)


def _marks(
    line: Runs, finite: Sequence[float], scale: Scale, middle: float, *, bar: bool
) -> list[Element]:
    mean = math.fsum(finite) / len(finite)
    zero, end = scale(0), scale(mean)
    marks: list[Element] = []
    if bar:
        kind = "bar strong faint" if line.emphasis else "bar faint"
        marks.append(
            tag(
                "rect",
                x=min(zero, end),
                y=middle - 9,
                width=abs(end - zero),
                height=18,
                class_=kind,
            )
        )
    if line.spread > 0:
        low, high = scale(mean - line.spread), scale(mean + line.spread)
        a, b, y = plain_number(low), plain_number(high), plain_number(middle)
        ends = f"V{plain_number(middle + 5)}"
        top = plain_number(middle - 5)
        marks.append(
            tag("path", d=f"M{a} {y}H{b}M{a} {top}{ends}M{b} {top}{ends}", class_="whisker")
        )
    if not bar:
        x = plain_number(end)
        path = f"M{x} {plain_number(middle - 7)}V{plain_number(middle + 7)}"
        marks.append(tag("path", d=path, class_="whisker"))
    for place, value in enumerate(finite):
        height = middle + 3.2 * (place % 3 - 1) * (len(finite) > 1)
        marks.append(tag("circle", cx=scale(value), cy=height, r=2.6, class_="run"))
    return marks
