"""Horizontal bars, which leave room for long names."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sclong_data.report.markup import tag
from sclong_data.report.scale import Scale, ticks
from sclong_data.report.svg import WIDTH, Box, Text, horizontal_axis, picture
from sclong_data.report.table import number

_ROW = 34.0
_TOP = 12.0
_BELOW = 44.0
_NAMES = 132.0
_VALUES = 50.0


@dataclass(frozen=True)
class Bar:
    """One bar: its name, how long it is, and whether it is the one the figure is about."""

    name: str
    value: float
    emphasis: bool = False


def bar_chart(text: Text, bars: Sequence[Bar], *, label: str, decimals: int = 2) -> Element:
    """A figure of bars from zero, one under the other, each with its value.

    Args:
        text: title and description.
        bars: from top to bottom.
        label: of the axis.
        decimals: of the values.
    """
    height = _TOP + _ROW * len(bars) + _BELOW
    box = Box(left=_NAMES, top=_TOP, right=WIDTH - _VALUES, bottom=height - _BELOW)
    values = ticks(min(0.0, *(bar.value for bar in bars)), max(0.0, *(bar.value for bar in bars)))
    scale = Scale(values[0], values[-1], box.left, box.right)
    zero = scale(0)
    content = [
        horizontal_axis(box, scale, values, label, grid=True),
        *(_bar(bar, scale, box.top + _ROW * place, decimals) for place, bar in enumerate(bars)),
        tag("line", x1=zero, x2=zero, y1=box.top, y2=box.bottom, class_="axis"),
    ]
    return picture(text, height, content)


def _bar(bar: Bar, scale: Scale, top: float, decimals: int) -> Element:
    zero, end = scale(0), scale(bar.value)
    return tag(
        "g",
        tag("text", bar.name, x=_NAMES - 8, y=top + _ROW / 2 + 4, class_="end"),
        tag(
            "rect",
            x=min(zero, end),
            y=top + 7,
            width=abs(end - zero),
            height=_ROW - 14,
            class_="bar strong" if bar.emphasis else "bar",
        ),
        tag(
            "text",
            number(bar.value, decimals),
            x=max(zero, end) + 6,
            y=top + _ROW / 2 + 4,
            class_="strong" if bar.emphasis else "value",
        ),
    )
