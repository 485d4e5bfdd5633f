"""Figures of many runs, made from their results alone: bars of means, every run as a dot.

This is how the paper draws its comparisons: one drawing for each metric and part of the test rows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import pandas as pd

from sclong_data.outputs import require_output
from sclong_data.report.names import plain_names
from sclong_data.report.runs import Runs, run_chart
from sclong_data.report.standalone import is_drawing
from sclong_data.report.svg import Text
from sclong_tasks.figures import write_svg
from sclong_tasks.registry import get_task, task_names
from sclong_tasks.results import on_papers_data

_MAIN = "sclong"
_MARKS = ", upright marks the paper's numbers"


def result_figures(
    rows: pd.DataFrame, metrics: Sequence[str] | None = None
) -> Mapping[str, Element]:
    """Drawings by name, best model first.

    Args:
        rows: of :func:`sclong_tasks.results.read_runs`.
        metrics: to draw, in all their strata; all of them by default.
    """
    keys = ["task", "protocol", "scenario", "metric", "stratum"]
    wanted = rows if metrics is None else rows[rows["metric"].isin(list(metrics))]
    found = {}
    groups = list(wanted.groupby(keys, sort=False))
    every = [list(map(str, names)) for names, _ in groups]
    files = plain_names(["-".join(map(_plain, names)) for names in every], every)
    for (names, group), key in zip(groups, files, strict=True):
        task, protocol, scenario, metric, stratum = map(str, names)
        papers = _published(task, scenario, metric, stratum) if on_papers_data(group) else {}
        lines = _lines(group, papers)
        place = "" if stratum == "all" else f", {stratum}"
        better = "Higher" if group["higher_is_better"].iloc[0] else "Lower"
        text = Text(
            key,
            f"{metric.replace('_', ' ')}{place}",
            f"{task}, {protocol} protocol, split {scenario}. {better} is better; bars are means, "
            f"dots runs, whiskers one s.d.{_MARKS if papers else ''}.",
        )
        found[key] = run_chart(text, lines, label=text.title)
    return found


def write_result_figures(
    rows: pd.DataFrame, folder: Path, metrics: Sequence[str] | None = None
) -> list[Path]:
    """Write each drawing as a file that any browser shows; their paths.

    Raises:
        InputError: a file of such a name is there and is not a drawing.
    """
    drawings = {folder / f"{name}.svg": one for name, one in result_figures(rows, metrics).items()}
    for path in drawings:
        require_output(path, ours=is_drawing)
    folder.mkdir(parents=True, exist_ok=True)
    for path, drawing in drawings.items():
        write_svg(path, drawing)
    return list(drawings)


def _lines(group: pd.DataFrame, published: Mapping[str, float]) -> list[Runs]:
    sign = -1 if group["higher_is_better"].iloc[0] else 1
    lines = []
    for (model, variant), runs in group.groupby(["model", "variant"], sort=False):
        spread = runs["value"].std(ddof=1)
        lines.append(
            Runs(
                f"{model} ({variant})" if variant else str(model),
                runs.sort_values("seed")["value"].tolist(),
                spread=0.0 if pd.isna(spread) else float(spread),
                published=published.get(str(model)),
                emphasis=model == _MAIN,
                note="not defined",
            )
        )
    return sorted(lines, key=lambda line: sign * pd.Series(line.values).mean())


def _published(task: str, scenario: str, metric: str, stratum: str) -> dict[str, float]:
    if task not in task_names():
        return {}
    return {
        number.model: number.value
        for number in get_task(task).published
        if (number.scenario, number.metric, number.stratum) == (scenario, metric, stratum)
    }


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)
