"""Drawings of finished runs, from the files that they left and nothing else."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import atomic_folder
from sclong_data.report.names import plain_names
from sclong_data.report.standalone import require_drawings, write_svg
from sclong_tasks.maps import Way, label_maps, plane
from sclong_tasks.registry import get_task, task_names
from sclong_tasks.result_figures import result_figures
from sclong_tasks.results import finished_runs, read_metrics
from sclong_tasks.run import PREDICTIONS_FILE
from sclong_tasks.tables import collect


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
        metrics: to draw; by default those that the task declares for its headline, else the first.
        way: how cells are brought to two dimensions; None draws no maps.
        overwrite: replace a folder of drawings; one that holds anything else is never replaced.

    Returns:
        The names of the files.

    Raises:
        InputError: there are no runs, or none has such a metric.
    """
    if overwrite:
        require_drawings(output)
    table = collect([runs])
    drawings = dict(result_figures(table, metrics or _headline(table)))
    if not drawings:
        raise InputError(f"{runs} has no {', '.join(metrics or [])}: see sclong task results")
    if way is not None and not runs.is_file():
        drawings.update(_maps(runs, way))
    with atomic_folder(output, overwrite=overwrite) as temporary:
        for name, drawing in drawings.items():
            write_svg(temporary / f"{name}.svg", drawing)
    return sorted(drawings)


def _headline(rows: pd.DataFrame) -> list[str]:
    """The headline of each task, protocol and scenario, else its first metric."""
    found: set[str] = set()
    for (task, *_), group in rows.groupby(["task", "protocol", "scenario"], sort=False):
        there = list(dict.fromkeys(map(str, group["metric"])))
        headline = get_task(str(task)).headline if task in task_names() else ()
        found |= set(headline) if headline and set(headline) <= set(there) else set(there[:1])
    return sorted(found)


def _maps(runs: Path, way: Way) -> Iterator[tuple[str, Element]]:
    """Maps of one run of each model: that of the lowest seed."""
    seen = set()
    found = [(read_metrics(path).iloc[0], path.parent) for path in finished_runs(runs)]
    folders = [folder for _, folder in found]
    names_of_files = plain_names([one.name for one in folders], [one.parts for one in folders])
    files = dict(zip(folders, names_of_files, strict=True))
    for row, folder in sorted(found, key=lambda one: int(one[0]["seed"])):
        names = tuple(row[["task", "protocol", "scenario", "model", "variant"]])
        columns = get_task(names[0]).map_labels if names[0] in task_names() else ()
        if names in seen or not columns:
            continue
        seen.add(names)
        table = pd.read_parquet(folder / PREDICTIONS_FILE)
        values = table[[name for name in table if str(name).startswith("predicted_")]]
        points = plane(values.to_numpy(), way=way, seed=int(row["seed"]))
        labels = {name: table[name].astype(object).fillna("unknown").tolist() for name in columns}
        axes = {"umap": "UMAP", "pca": "component"}[way]
        for column, drawing in label_maps(points, labels, axes=axes, name=str(names[3])).items():
            yield f"{files[folder]}-{column}", drawing
