"""Points on a plane, grouped by colour and shape, and the legend that panels share."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sclong_data.report.markup import plain_number, tag
from sclong_data.report.scale import Scale
from sclong_data.report.svg import COLOURS, WIDTH, Text, picture

_LEFT, _TOP = 20.0, 28.0
_SIDE = WIDTH - _LEFT
_EDGE = 12.0
_RADIUS = 2.7
_SHAPES = (
    "m{-r} 0a{r} {r} 0 1 0 {2r} 0a{r} {r} 0 1 0 {-2r} 0z",
    "m{-r} {-r}h{2r}v{2r}h{-2r}z",
    "m0 {-1.3r}l{1.3r} {2.2r}h{-2.6r}z",
    "m0 {-1.4r}l{1.4r} {1.4r}l{-1.4r} {1.4r}l{-1.4r} {-1.4r}z",
)
"""Circle, square, triangle, diamond, drawn from the middle of the point."""


@dataclass(frozen=True)
class Group:
    """Points of one kind."""

    name: str
    points: Sequence[tuple[float, float]]


def scatter(
    text: Text, groups: Sequence[Group], *, heading: str, axes: str, radius: float = _RADIUS
) -> Element:
    """A square figure of points without ticks: for coordinates that have no meaning of their own.

    Args:
        text: title and description.
        groups: the largest first, since later ones are drawn over it.
        heading: above the points.
        axes: name of the coordinates; numbered along the edges.
        radius: of a point.
    """
    xs, ys = ([point[axis] for group in groups for point in group.points] for axis in (0, 1))
    bottom = _TOP + _SIDE
    x_scale = _fitted(xs, _LEFT + _EDGE, WIDTH - _EDGE)
    y_scale = _fitted(ys, bottom - _EDGE, _TOP + _EDGE)
    content = [
        tag("text", heading, x=_LEFT, y=16, class_="heading"),
        tag("rect", x=_LEFT, y=_TOP, width=_SIDE - 2, height=_SIDE, class_="frame"),
        *(_points(group, number, x_scale, y_scale, radius) for number, group in enumerate(groups)),
        tag("text", f"{axes} 1", x=_LEFT + _SIDE / 2, y=bottom + 15, class_="middle label"),
        tag(
            "text",
            f"{axes} 2",
            transform=f"translate(13 {plain_number(_TOP + _SIDE / 2)}) rotate(-90)",
            class_="middle label",
        ),
    ]
    return picture(text, bottom + 20, content)


def legend(groups: Sequence[Group]) -> Element:
    """The names of groups with their marks and numbers of points, for panels that share them."""
    items = (
        tag(
            "li",
            tag(
                "svg",
                _mark(number, ((0.0, 0.0),), radius=4.5),
                viewBox="-7 -7 14 14",
                aria_hidden="true",
            ),
            tag("span", group.name),
            tag("span", f"{len(group.points):,}", class_="count"),
        )
        for number, group in enumerate(groups)
    )
    return tag("ul", *items, class_="legend")


def _points(group: Group, number: int, x_scale: Scale, y_scale: Scale, radius: float) -> Element:
    mark = _mark(number, [(x_scale(x), y_scale(y)) for x, y in group.points], radius=radius)
    mark.append(tag("title", f"{group.name} ({len(group.points):,})"))
    return mark


def _mark(number: int, places: Sequence[tuple[float, float]], *, radius: float) -> Element:
    """All points of a group as one path."""
    shape = _shape(_SHAPES[number % len(_SHAPES)], radius)
    path = "".join(f"M{plain_number(x)} {plain_number(y)}{shape}" for x, y in places)
    return tag("path", d=path, class_=f"point c{number % COLOURS + 1}")


def _shape(pattern: str, radius: float) -> str:
    pieces = pattern.split("{")
    text = pieces[0]
    for piece in pieces[1:]:
        factor, rest = piece.split("r}")
        share = {"": 1.0, "-": -1.0}.get(factor)
        text += plain_number(radius * (float(factor) if share is None else share)) + rest
    return text


def _fitted(values: Sequence[float], start: float, stop: float) -> Scale:
    low, high = min(values), max(values)
    return Scale(low, high if high > low else low + 1, start, stop)
