"""A clustered heat map: a square of values with names beside its lines, and the tree of these."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import leaves_list

from sclong_data.report.markup import plain_number, tag
from sclong_data.report.scale import Scale
from sclong_data.report.svg import Box, Text, picture

Floats = npt.NDArray[np.float64]
_BOX = Box(left=42.0, top=30.0, right=342.0, bottom=330.0)
_LETTERS = 12.5
_KEY_STEPS = 20


def heat_map(
    text: Text,
    values: npt.ArrayLike,
    names: Sequence[str],
    *,
    marked: Sequence[bool],
    tree: Floats | None = None,
    heading: str,
) -> Element:
    """A square of values, the darker the farther from 0: one colour above, another below.

    Args:
        text: title and description.
        values: ``(names, names)``, in the order to be drawn.
        names: of lines and columns, written beside the lines.
        marked: names to be set off.
        tree: linkage as scipy gives it, drawn on the left; its leaves in the order of ``names``
            are those that :func:`scipy.cluster.hierarchy.leaves_list` gives.
        heading: above the square.
    """
    square = np.asarray(values, dtype=np.float64)
    count = len(names)
    side = (_BOX.right - _BOX.left) / max(count, 1)
    most = float(np.abs(square).max(initial=0.0)) or 1.0
    content = [tag("text", heading, x=_BOX.left, y=18, class_="heading")]
    if tree is not None and len(tree):
        content.append(_branches(tree, side))
    content += [_line(square[row], row, side, most) for row in range(count)]
    content.append(_names(names, marked, side))
    content.append(_key(most, has_negative=bool((square < 0).any())))
    return picture(text, _BOX.bottom + 44, content)


def _line(values: Floats, row: int, side: float, most: float) -> Element:
    cells = [
        tag(
            "rect",
            x=_BOX.left + column * side,
            y=_BOX.top + row * side,
            width=side,
            height=side,
            class_="c1" if value >= 0 else "c4",
            fill_opacity=abs(float(value)) / most,
        )
        for column, value in enumerate(values)
    ]
    return tag("g", *cells)


def _names(names: Sequence[str], marked: Sequence[bool], side: float) -> Element:
    """As large as the lines are high; letters are shrunk, so that the style sheet sets the rest."""
    shrink = min(1.0, side / _LETTERS * 1.05)
    written = []
    for row, (name, strong) in enumerate(zip(names, marked, strict=True)):
        y = _BOX.top + (row + 0.5) * side + _LETTERS * shrink * 0.35
        place = f"translate({plain_number(_BOX.right + 4)} {plain_number(y)}) scale({shrink:.3f})"
        written.append(tag("text", name, transform=place, class_="strong c4" if strong else ""))
    return tag("g", *written)


def _branches(tree: Floats, side: float) -> Element:
    """Two branches and their join for each step, from the leaves to the left."""
    count = len(tree) + 1
    place = {int(leaf): number for number, leaf in enumerate(leaves_list(tree))}
    across = Scale(0.0, float(tree[:, 2].max()) or 1.0, _BOX.left - 3, 6.0)
    at = {leaf: (across(0.0), _BOX.top + (number + 0.5) * side) for leaf, number in place.items()}
    paths = []
    for step, (one, other, height, _) in enumerate(tree):
        (x1, y1), (x2, y2) = at[int(one)], at[int(other)]
        x = across(float(height))
        start, back = f"M{plain_number(x1)} {plain_number(y1)}", f"H{plain_number(x)}"
        route = f"{start}{back}V{plain_number(y2)}H{plain_number(x2)}"
        paths.append(tag("path", d=route, class_="curve l1", stroke_width=0.8))
        at[count + step] = (x, (y1 + y2) / 2)
    return tag("g", *paths)


def _key(most: float, *, has_negative: bool) -> Element:
    """What the colours stand for."""
    low = -most if has_negative else 0.0
    width = (_BOX.right - _BOX.left) / 2
    left, top, step = _BOX.left, _BOX.bottom + 12, width / _KEY_STEPS
    content = []
    for number in range(_KEY_STEPS):
        value = low + (most - low) * (number + 0.5) / _KEY_STEPS
        content.append(
            tag(
                "rect",
                x=left + number * step,
                y=top,
                width=step,
                height=8,
                class_="c1" if value >= 0 else "c4",
                fill_opacity=abs(value) / most,
            )
        )
    ends = ((low, left, ""), (most, left + width, "middle"))
    content += [
        tag("text", f"{value:.2g}".replace("-", "\N{MINUS SIGN}"), x=x, y=top + 24, class_=kind)
        for value, x, kind in ends
    ]
    content.append(tag("rect", x=left, y=top, width=width, height=8, class_="frame"))
    return tag("g", *content)
