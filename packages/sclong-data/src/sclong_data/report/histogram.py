"""Histograms: columns that touch each other over an axis of numbers."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from sclong_data.report.markup import tag
from sclong_data.report.scale import Scale, logarithmic_ticks, ticks
from sclong_data.report.svg import WIDTH, Box, Text, horizontal_axis, picture, vertical_axis

_HEIGHT = 220.0
_BOX = Box(left=52, top=34, right=WIDTH - 14, bottom=_HEIGHT - 44)

Column = tuple[float, float, float]
"""Lower end, upper end, height."""


def histogram(
    text: Text,
    columns: Sequence[Column],
    *,
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
) -> Element:
    """A figure of columns that touch each other.

    Args:
        text: title and description.
        columns: at least one, from left to right.
        x_label: of the horizontal axis.
        y_label: of the vertical one, which starts at zero.
        logarithmic: equal ratios are equal widths; all ends must be positive then.
    """
    low, high = columns[0][0], columns[-1][1]
    if logarithmic:
        x_ticks = tuple(value for value in _decades(low, high) if low <= value <= high)
        x_scale = Scale(low, high, _BOX.left, _BOX.right, logarithmic=True)
    else:
        x_ticks = ticks(min(0.0, low), high)
        x_scale = Scale(x_ticks[0], x_ticks[-1], _BOX.left, _BOX.right)
    y_ticks = ticks(0.0, max(height for _, _, height in columns))
    y_scale = Scale(y_ticks[0], y_ticks[-1], _BOX.bottom, _BOX.top)
    drawn = (
        tag(
            "rect",
            x=x_scale(start),
            y=y_scale(height),
            width=max(0.6, x_scale(stop) - x_scale(start) - 0.6),
            height=_BOX.bottom - y_scale(height),
            class_="bar strong",
        )
        for start, stop, height in columns
        if height
    )
    content = [
        vertical_axis(_BOX, y_scale, y_ticks, y_label),
        tag("g", *drawn),
        horizontal_axis(_BOX, x_scale, x_ticks, x_label),
    ]
    return picture(text, _HEIGHT, content)


def _decades(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten where there are enough of them, which are far enough apart to be read."""
    found = logarithmic_ticks(low, high)
    tens = tuple(value for value in found if str(f"{value:.0e}").startswith("1e"))
    return tens if len(tens) > 1 else found
