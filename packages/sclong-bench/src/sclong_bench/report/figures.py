"""Figures of a setting: bars with every seed as a dot, and ROC curves from predictions."""

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_bench.published.numbers import key
from sclong_bench.report.comparison import Comparison
from sclong_bench.report.summaries import Line, Setting
from sclong_bench.report.tables import decimals_of
from sclong_bench.report.units import PREDICTIONS, truth_column
from sclong_bench.report.verdicts import metric_of, place_of
from sclong_bench.report.words import heading_of, listed, name_of, plain
from sclong_bench.results.references import FIRST
from sclong_bench.results.schema import LABEL, SOURCE
from sclong_data.report.figure import Figure
from sclong_data.report.lines import Series, line_chart, line_legend
from sclong_data.report.runs import Runs, run_chart, run_legend
from sclong_data.report.svg import Text
from sclong_data.report.table import Column, Table

_CURVES = 4
"""As many as the style sheet tells apart."""
_POINTS = 120
_PANELS = 8
"""Of a figure of ablations, at most."""


def bar_figure(setting: Setting) -> Figure:
    """Means from zero, and the same range enlarged without bars."""
    published = any(line.published is not None for line in setting.lines)
    place = place_of(setting)
    caption = (
        f"{metric_of(setting)}{', ' if place else ''}{place}. Left from zero, right the range of "
        "the values alone, without ceilings. Dots are runs, whiskers ± one standard deviation"
    )
    caption += "; upright marks are the paper's numbers." if published else "."
    numbers = Table(
        [Column("model"), Column("runs", words=True)],
        [
            [line.label, ", ".join(plain(value, decimals_of(setting)) for value in line.values)]
            for line in setting.lines
        ],
        caption="Value of each run, in the order of seeds",
    )
    return Figure(bar_panels(setting), caption, [numbers], run_legend(published=published))


def bar_panels(setting: Setting) -> list[Element]:
    """The two drawings."""
    decimals = decimals_of(setting)
    lines = [
        Runs(
            line.label,
            line.values,
            spread=line.sd if math.isfinite(line.sd) else 0.0,
            published=None if line.published is None else line.published.value,
            emphasis=line.role == "reference",
            note=_note(line),
        )
        for line in setting.lines
    ]
    label = metric_of(setting)
    capped = [line for line, of in zip(lines, setting.lines, strict=True) if of.role != "ceiling"]
    best = setting.best("reference", "model", "ablation", "simple", "floor")
    says = f"Highest of {len(lines)}" if setting.higher_is_better else f"Lowest of {len(lines)}"
    words = f"{says}: {best.label}." if best is not None else "No model has a value."
    return [
        run_chart(
            Text(f"{setting.slug}-{kind}", f"{label}, {kind}", words),
            shown,
            label=label,
            decimals=decimals,
            enlarged=kind == "enlarged",
        )
        for kind, shown in (("bars", lines), ("enlarged", capped or lines))
    ]


def ablation_figure(
    comparison: Comparison, task: str, settings: Sequence[Setting] | None = None
) -> Figure | None:
    """A model beside those that lack a part of it, a panel a setting; None without such.

    Args:
        comparison: what is reported.
        task: whose settings are drawn.
        settings: to choose among; the main ones of the task by default.
    """
    chosen = comparison.main_settings(task) if settings is None else settings
    drawings, rows = [], []
    shown: dict[str, None] = {}
    name = FIRST
    for setting in chosen:
        whole = _whole(setting)
        lines = [line for line in setting.lines if line.values and _is_part(line, whole)]
        if setting.task != task or not any(line.kind == "ablation" for line in lines):
            continue
        lines.sort(key=lambda line: line is not whole)
        name = whole.label if whole is not None else name
        shown.update(dict.fromkeys(line.label for line in lines))
        words = f"{metric_of(setting)}, {place_of(setting)}"
        runs = [
            Runs(
                _short(line.label, name),
                line.values,
                spread=line.sd if math.isfinite(line.sd) else 0.0,
                emphasis=line is whole,
            )
            for line in lines
        ]
        text = Text(f"{setting.slug}-ablations", words, f"Means of {len(lines)} models.")
        label = f"{name_of(setting.metric)}, {name_of(setting.scenario)}"
        drawings.append(
            run_chart(text, runs, label=label, decimals=decimals_of(setting), enlarged=True)
        )
        rows.append((words, {line.label: line.mean for line in lines}))
    if not drawings:
        return None
    numbers = Table(
        [Column("setting", words=True), *(Column(name, 3) for name in shown)],
        [[words, *(means.get(name) for name in shown)] for words, means in rows],
        caption="Means over seeds",
    )
    caption = (
        f"{heading_of(task)}: {name} beside models that lack a part of it. "
        "Dots are runs, whiskers ± one standard deviation; axes show the range of values alone."
    )
    return Figure(drawings[:_PANELS], caption, [numbers], run_legend(published=False))


def _whole(setting: Setting) -> Line | None:
    """The reference if it is a model, else scLong: ablations lack a part of it."""
    models = (line for line in setting.lines if line.kind == "model")
    named = (line for line in setting.lines if key(line.label.partition(" (")[0]) == FIRST)
    reference = next((line for line in models if line.role == "reference"), None)
    return reference or next(named, None)


def _is_part(line: Line, whole: Line | None) -> bool:
    untrained = key(line.label) in ("untrainedsclong", "randomsclong")
    return line is whole or line.kind == "ablation" or untrained


def _short(label: str, reference: str) -> str:
    return name_of(label.removeprefix(f"{reference}_").removesuffix(f"_{reference}"))


def _note(line: Line) -> str:
    """Why there is nothing to draw."""
    if line.values:
        return "not defined"
    return "not run" if line.reason == "not run" else "failed"


def roc_figure(comparison: Comparison, setting: Setting) -> Figure | None:
    """Curves of the best models of a setting whose metric is the area under them."""
    if key(setting.metric) != "auroc":
        return None
    rows = comparison.results.rows
    mine = rows[rows["task"].eq(setting.task) & rows["protocol"].eq(setting.protocol)]
    mine = mine[mine["scenario"].eq(setting.scenario) & mine["metric"].eq(setting.metric)]
    curves: list[Series] = []
    order = sorted(setting.lines, key=lambda line: (line.role != "reference", -line.mean))
    for line in order:
        sources = mine[mine[LABEL].eq(line.label)].sort_values("seed")[SOURCE]
        folders = [comparison.results.folders.get(source) for source in sources]
        points = _curve(folders[0]) if folders and folders[0] is not None else None
        if points is not None and len(curves) < _CURVES:
            curves.append(Series(line.label, points))
    if not curves:
        return None
    curves[:2] = curves[1::-1] if len(curves) > 1 else curves  # the second stroke is the accent
    chart = line_chart(
        Text(f"{setting.slug}-roc", "ROC curves", f"One curve for each of {len(curves)}."),
        curves,
        x_label="false positive rate",
        y_label="true positive rate",
        names=False,
    )
    rates = [place / 10 for place in range(11)]
    numbers = Table(
        [Column("false positive rate", 1), *(Column(curve.name, 3) for curve in curves)],
        [[rate, *(_at(rate, curve) for curve in curves)] for rate in rates],
        caption="True positive rates",
    )
    caption = (
        f"ROC curves of {listed([name_of(curve.name) for curve in curves])}, {place_of(setting)}, "
        "one seed each: the first."
    )
    return Figure([chart], caption, [numbers], line_legend([curve.name for curve in curves]))


def _at(rate: float, curve: Series) -> float:
    xs, ys = zip(*curve.points, strict=True)
    return float(np.interp(rate, np.asarray(xs), np.asarray(ys)))


def _curve(folder: Path | None) -> list[tuple[float, float]] | None:
    """Points of the ROC curve of a run, thinned."""
    if folder is None or not (folder / PREDICTIONS).is_file():
        return None
    table = pd.read_parquet(folder / PREDICTIONS)
    target = truth_column(table)
    if target is None or not table[target].isin((0, 1)).all():
        return None
    x, y = _rates(
        table[target].to_numpy(dtype=np.int64),
        table[f"predicted_{target}"].to_numpy(dtype=np.float64),
    )
    step = max(1, len(x) // _POINTS)
    kept = [*range(0, len(x) - 1, step), len(x) - 1]
    return [(float(x[place]), float(y[place])) for place in kept]


def _rates(
    truth: npt.NDArray[np.int64], score: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    from sklearn.metrics import roc_curve  # noqa: PLC0415  # slow to import, and rarely needed

    x, y, _ = roc_curve(truth, score)
    return x, y
