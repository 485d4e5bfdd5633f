"""What all figures share: a picture with title and description, axes, a legend.

Colours and fonts come from the page's style sheet (classes), so that figures follow its light, dark
and printed forms. Coordinates are pixels at the width of a phone: a figure is drawn small and
scaled up a little on a wide screen, which keeps its letters legible on both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sclong_data.report.markup import tag
from sclong_data.report.scale import Scale, tick_labels

WIDTH = 400.0
"""Width of a figure."""
COLOURS = 10
"""Number of colours that the style sheet has for groups: classes c1, c2 and so on."""
_TICKS, _LABEL = 19.0, 37.0
"""How far below the box the names of ticks and the label of the axis stand."""


@dataclass(frozen=True)
class Text:
    """What a figure says to those who cannot see it."""

    key: str
    """Short name, unique on the page: letters, digits, hyphens."""
    title: str
    """A few words."""
    description: str
    """What is to be seen, in one or two sentences."""


@dataclass(frozen=True)
class Box:
    """The plotting area inside a figure."""

    left: float
    top: float
    right: float
    bottom: float


def picture(text: Text, height: float, content: Sequence[Element]) -> Element:
    """An ``svg`` element of the common width."""
    ids = (f"{text.key}-title", f"{text.key}-desc")
    return tag(
        "svg",
        tag("title", text.title, id=ids[0]),
        tag("desc", text.description, id=ids[1]),
        *content,
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_labelledby=" ".join(ids),
    )


def horizontal_axis(
    box: Box, scale: Scale, values: tuple[float, ...], label: str, *, grid: bool = False
) -> Element:
    """Ticks below the box, with the label under them."""
    marks: list[Element] = []
    for value, name in zip(values, tick_labels(values), strict=True):
        x = scale(value)
        end = box.top if grid else box.bottom + 4
        marks.append(
            tag("line", x1=x, x2=x, y1=box.bottom, y2=end, class_="grid" if grid else "axis")
        )
        marks.append(tag("text", name, x=x, y=box.bottom + _TICKS, class_="middle"))
    if not grid:
        marks.append(
            tag("line", x1=box.left, x2=box.right, y1=box.bottom, y2=box.bottom, class_="axis")
        )
    middle = (box.left + box.right) / 2
    marks.append(tag("text", label, x=middle, y=box.bottom + _LABEL, class_="middle label"))
    return tag("g", *marks)


def vertical_axis(box: Box, scale: Scale, values: tuple[float, ...], label: str) -> Element:
    """Ticks left of the box with faint lines across it, and the label above them."""
    marks = [tag("text", label, x=2, y=box.top - 10, class_="label")]
    for value, name in zip(values, tick_labels(values), strict=True):
        y = scale(value)
        marks.append(tag("line", x1=box.left, x2=box.right, y1=y, y2=y, class_="grid"))
        marks.append(tag("text", name, x=box.left - 6, y=y + 4, class_="end"))
    return tag("g", *marks)
