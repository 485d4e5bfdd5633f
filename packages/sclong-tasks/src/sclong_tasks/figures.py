"""Figures of a run as files: the drawings of reports with their style sheet inside."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

import numpy as np

from sclong_core.files import atomic_file
from sclong_data.report.lines import Series, line_chart
from sclong_data.report.markup import tag
from sclong_data.report.scale import Scale, ticks
from sclong_data.report.standalone import standalone
from sclong_data.report.svg import WIDTH, Box, Text, horizontal_axis, picture, vertical_axis

_BOX = Box(left=44, top=34, right=WIDTH - 14, bottom=334)
_MOST_POINTS = 2000


def write_svg(path: Path, drawing: Element) -> None:
    """Write a drawing as a file that any browser shows."""
    with atomic_file(path) as temporary:
        text = tostring(standalone(drawing), encoding="unicode")
        temporary.write_text(f"{text}\n", encoding="utf-8")


def training_curve(history: Sequence[dict[str, float]]) -> Element | None:
    """Losses over epochs; None where nothing positive was logged."""
    names = sorted({name for line in history for name in line if name.endswith("_loss")})
    curves = [
        Series(
            name.replace("_", " "),
            [(line["epoch"], line[name]) for line in history if line.get(name, 0) > 0],
        )
        for name in names
    ]
    curves = [curve for curve in curves if curve.points]
    if not curves:
        return None
    said = "; ".join(f"{one.name}: {one.points[-1][1]:.3g} at the end" for one in curves)
    return line_chart(
        Text("curve", "Loss over epochs", f"{said}."),
        curves,
        x_label="epochs",
        y_label="loss, logarithmic",
        logarithmic=True,
    )


def predicted_and_true(
    truth: Sequence[float], predicted: Sequence[float], *, name: str, seed: int = 0
) -> Element:
    """Predicted values over true ones, at most 2,000 of them drawn, with the diagonal."""
    x, y = np.asarray(truth, dtype=float), np.asarray(predicted, dtype=float)
    here = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(here) > _MOST_POINTS:
        here = np.random.default_rng(seed).choice(here, _MOST_POINTS, replace=False)
    both = np.concatenate([x[here], y[here], [0.0]])
    values = ticks(float(both.min()), float(both.max()))
    across = Scale(values[0], values[-1], _BOX.left, _BOX.right)
    up = Scale(values[0], values[-1], _BOX.bottom, _BOX.top)
    points = [
        tag("circle", cx=across(x[row]), cy=up(y[row]), r=1.6, class_="point c1") for row in here
    ]
    diagonal = tag(
        "line", x1=_BOX.left, y1=_BOX.bottom, x2=_BOX.right, y2=_BOX.top, class_="curve l3"
    )
    text = Text(
        "predicted", f"Predicted and true {name}", f"{len(here)} of {len(x)} test rows as points."
    )
    return picture(
        text,
        _BOX.bottom + 44,
        [
            vertical_axis(_BOX, up, values, f"predicted {name}"),
            horizontal_axis(_BOX, across, values, f"true {name}"),
            diagonal,
            *points,
        ],
    )
