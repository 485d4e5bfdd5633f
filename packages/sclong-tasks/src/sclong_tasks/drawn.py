"""Drawings of finished runs, from the files that they left and nothing else."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import atomic_folder
from sclong_data.report.runs import Runs, run_chart
from sclong_data.report.standalone import write_svg
from sclong_data.report.svg import Text
from sclong_tasks.maps import Way, label_maps, plane
from sclong_tasks.registry import TASKS, get_task
from sclong_tasks.results import finished_runs, read_metrics, read_runs
from sclong_tasks.run import PREDICTIONS_FILE
from sclong_tasks.tables import read_rows


def draw_runs(
    runs: Path,
    output: Path,
    *,
    metrics: Sequence[str] | None = None,
    way: Way | None = "umap",
    overwrite: bool = False,
) -> list[str]:
    """Write bars of each task and scenario, and maps of the runs of the lowest seed.

    Args:
        runs: a folder of runs, or a file of rows.
        output: a folder for the SVG files, which appears whole or not at all.
        metrics: to draw; the first of each task by default.
        way: how cells are brought to two dimensions; None draws no maps.
        overwrite: replace the folder.

    Returns:
        The names of the files.

    Raises:
        InputError: there are no runs, or none has such a metric.
    """
    table = read_rows(runs) if runs.is_file() else read_runs(runs)
    drawings = dict(seed_bars(table, metrics))
    if not drawings:
        raise InputError(f"{runs} has no {', '.join(metrics or [])}: see sclong task results")
    if way is not None and not runs.is_file():
        drawings.update(_maps(runs, way))
    with atomic_folder(output, overwrite=overwrite) as temporary:
        for name, drawing in drawings.items():
            write_svg(temporary / f"{name}.svg", drawing)
    return sorted(drawings)


def seed_bars(
    rows: pd.DataFrame, metrics: Sequence[str] | None = None
) -> Iterator[tuple[str, Element]]:
    """For each task, protocol, scenario and metric: bars of means, with every seed as a dot.

    Args:
        rows: of :func:`~sclong_tasks.results.read_runs`.
        metrics: to draw; the first of each task by default.
    """
    whole = rows[rows["stratum"] == "all"]
    for names, group in whole.groupby(["task", "protocol", "scenario"], sort=False):
        for metric in metrics or [group["metric"].iloc[0]]:
            here = group[group["metric"] == metric]
            if here["value"].notna().any():
                yield "-".join([*map(str, names), metric]), _bars(here, *map(str, names))


def _bars(rows: pd.DataFrame, task: str, protocol: str, scenario: str) -> Element:
    metric = str(rows["metric"].iloc[0])
    paper = {
        number.model: number.value
        for number in (get_task(task).published if task in TASKS else ())
        if (number.scenario, number.metric) == (scenario, metric)
    }
    models = rows.groupby(["model", "variant"])["value"]
    order = models.mean().sort_values(ascending=not rows["higher_is_better"].iloc[0])
    lines = [
        Runs(
            model,
            models.get_group((model, variant)).tolist(),
            spread=float(pd.Series(models.get_group((model, variant))).std(ddof=1) or 0),
            published=paper.get(model),
            note="not defined",
        )
        for model, variant in order.index
    ]
    title = f"{metric.replace('_', ' ')}: {task}, {protocol} protocol, split {scenario}"
    said = f"Means of {len(lines)} models, best first; dots are seeds, whiskers one s.d."
    key = "-".join((task, protocol, scenario, metric)).replace("_", "-")
    return run_chart(Text(key, title, said), lines, label=metric.replace("_", " "))


def _maps(runs: Path, way: Way) -> Iterator[tuple[str, Element]]:
    """Maps of one run of each model: that of the lowest seed."""
    seen = set()
    found = [(read_metrics(path).iloc[0], path.parent) for path in finished_runs(runs)]
    for row, folder in sorted(found, key=lambda one: int(one[0]["seed"])):
        names = tuple(row[["task", "protocol", "scenario", "model", "variant"]])
        columns = get_task(names[0]).map_labels if names[0] in TASKS else ()
        if names in seen or not columns:
            continue
        seen.add(names)
        table = pd.read_parquet(folder / PREDICTIONS_FILE)
        values = table[[name for name in table if str(name).startswith("predicted_")]]
        points = plane(values.to_numpy(), way=way, seed=int(row["seed"]))
        labels = {name: table[name].astype(object).fillna("unknown").tolist() for name in columns}
        axes = {"umap": "UMAP", "pca": "component"}[way]
        for column, drawing in label_maps(points, labels, axes=axes, name=str(names[3])).items():
            yield f"{folder.name}-{column}", drawing
