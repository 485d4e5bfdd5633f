"""Curves over a common axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sclong_data.report.markup import plain_number, tag
from sclong_data.report.scale import Scale, logarithmic_ticks, ticks
from sclong_data.report.svg import WIDTH, Box, Text, horizontal_axis, picture, vertical_axis

_HEIGHT = 260.0
_BOX = Box(left=44, top=48, right=WIDTH - 14, bottom=_HEIGHT - 44)
_MARGIN = 1.1
"""Room above and below the curves on a logarithmic axis, as a factor."""


@dataclass(frozen=True)
class Series:
    """One curve: its name in the legend, and its points from left to right."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(
    text: Text,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
    names: bool = True,
) -> Element:
    """A figure of one or more curves.

    Args:
        text: title and description.
        series: at least one, none of them empty.
        x_label: of the horizontal axis, which starts at zero.
        y_label: of the vertical one, which starts at zero where values allow it.
        logarithmic: draw the logarithm of ``y``; all values must be positive then.
        names: write the names of the curves above them; long ones need :func:`line_legend`.
    """
    xs = [x for curve in series for x, _ in curve.points]
    ys = [y for curve in series for _, y in curve.points]
    x_ticks = ticks(min(0.0, *xs), max(xs))
    x_scale = Scale(x_ticks[0], x_ticks[-1], _BOX.left, _BOX.right)
    if logarithmic:
        low, high = min(ys) / _MARGIN, max(ys) * _MARGIN
        y_ticks = logarithmic_ticks(low, high)
        y_scale = Scale(low, high, _BOX.bottom, _BOX.top, logarithmic=True)
    else:
        y_ticks = ticks(min(0.0, *ys), max(ys))
        y_scale = Scale(y_ticks[0], y_ticks[-1], _BOX.bottom, _BOX.top)
    content = [
        vertical_axis(_BOX, y_scale, y_ticks, y_label),
        horizontal_axis(_BOX, x_scale, x_ticks, x_label),
        *(_curve(curve, number, x_scale, y_scale) for number, curve in enumerate(series, 1)),
        *(_legend(series) if names else ()),
    ]
    return picture(text, _HEIGHT, content)


def line_legend(names: Sequence[str]) -> Element:
    """The names of curves with their strokes, to stand below a figure."""
    items = (
        tag(
            "li",
            tag(
                "svg",
                tag("line", x1=-10, x2=10, y1=0, y2=0, class_=f"curve l{number}"),
                viewBox="-10 -7 20 14",
                aria_hidden="true",
            ),
            tag("span", name),
        )
        for number, name in enumerate(names, 1)
    )
    return tag("ul", *items, class_="legend")


def _curve(curve: Series, number: int, x_scale: Scale, y_scale: Scale) -> Element:
    points = list(curve.points)
    points += points if len(points) == 1 else []  # a line of no length shows its round ends
    places = " ".join(f"{plain_number(x_scale(x))},{plain_number(y_scale(y))}" for x, y in points)
    return tag("polyline", tag("title", curve.name), points=places, class_=f"curve l{number}")


def _legend(series: Sequence[Series]) -> list[Element]:
    marks: list[Element] = []
    right = _BOX.right
    for number, curve in reversed(list(enumerate(series, 1))):
        left = right - 7.0 * len(curve.name) - 26
        marks.append(tag("line", x1=left, x2=left + 20, y1=14, y2=14, class_=f"curve l{number}"))
        marks.append(tag("text", curve.name, x=left + 26, y=18))
        right = left - 14
    return marks
