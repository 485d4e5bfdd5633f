"""Maps of cells in two dimensions, and from which runs they can be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_bench.demo.evaluate import umap
from sclong_bench.demo.settings import DemoSettings
from sclong_bench.published.numbers import key
from sclong_bench.report.comparison import Comparison
from sclong_bench.report.units import PREDICTIONS
from sclong_bench.report.verdicts import place_of
from sclong_bench.report.words import name_of
from sclong_bench.results.schema import LABEL, SOURCE
from sclong_data.report.figure import Figure
from sclong_data.report.scatter import Group, legend, scatter
from sclong_data.report.svg import Text
from sclong_data.report.table import Cell, Column, Table

LABELS = ("batch", "cell_type")
"""Columns of a run's predictions that say that its rows are cells to draw."""
_PREDICTED = "predicted_"
_MOST_CELLS, _MOST_MODELS = 1500, 2
_NEIGHBOURS = 15


@dataclass(frozen=True)
class MapPanel:
    """Cells of one space."""

    name: str
    points: npt.NDArray[np.float64]
    """``(cells, 2)``."""
    labels: Sequence[str]
    """Of each cell."""


def map_figure(name: str, panels: Sequence[MapPanel], caption: str) -> Figure:
    """Panels side by side that share a legend; the cells are in the same order in all.

    Args:
        name: of the figure, unique on the page: letters, digits, hyphens.
        panels: at least one.
        caption: what they show.
    """
    kinds, counts = np.unique(np.asarray(panels[0].labels).astype(str), return_counts=True)
    order = [str(kinds[place]) for place in np.argsort(-counts, kind="stable")]
    drawings: list[Element] = []
    shared: list[Group] = []
    for number, panel in enumerate(panels):
        of = np.asarray(panel.labels).astype(str)
        groups = [
            Group(kind, [(float(x), float(y)) for x, y in panel.points[of == kind]])
            for kind in order
        ]
        shared = shared or groups
        words = f"UMAP of {of.size} cells in {len(order)} groups."
        text = Text(f"map-{name}-{number}", f"Map of the cells: {panel.name}", words)
        drawings.append(scatter(text, groups, heading=panel.name, axes="UMAP"))
    rows: list[list[Cell]] = [[group.name, float(len(group.points))] for group in shared]
    table = Table((Column("group"), Column("cells", 0)), rows, caption="Cells of each group")
    return Figure(drawings, caption, [table], legend=legend(shared))


def run_maps(comparison: Comparison, task: str) -> list[Figure]:
    """Maps by batch and by type of the reference and the best other, where runs left embeddings.

    Floors come last: shuffled cells mix batches best of all.
    """
    found = []
    for setting in comparison.main_settings(task):
        spaces: dict[str, pd.DataFrame] = {}
        sign = -1 if setting.higher_is_better else 1
        order = sorted(
            (line for line in setting.lines if line.values and line.role != "ceiling"),
            key=lambda line: (line.role != "reference", line.role == "floor", sign * line.mean),
        )
        for line in order:
            folder = _first_folder(comparison, setting.keys[:3], line.label)
            table = _cells(folder)
            if table is not None and len(spaces) < _MOST_MODELS:
                spaces[line.label] = table
        if not spaces or len({len(table) for table in spaces.values()}) > 1:
            continue
        maps = {name: _plane(table) for name, table in spaces.items()}
        for column in LABELS:
            panels = [
                MapPanel(name, maps[name], table[column].fillna("unknown").tolist())
                for name, table in spaces.items()
            ]
            caption = (
                f"UMAP of cells, coloured by {name_of(column)}, {place_of(setting)}; one run each, "
                "that of the first seed. Distances between groups in a UMAP mean little."
            )
            found.append(map_figure(f"{setting.slug}-{key(column)}", panels, caption))
    return found


def _first_folder(comparison: Comparison, keys: Sequence[str], label: str) -> Path | None:
    rows = comparison.results.rows
    mine = rows[LABEL].eq(label)
    for name, value in zip(("task", "protocol", "scenario"), keys, strict=True):
        mine &= rows[name].eq(value)
    sources = rows[mine].sort_values("seed")[SOURCE]
    return next(
        (
            comparison.results.folders[source]
            for source in sources
            if source in comparison.results.folders
        ),
        None,
    )


def _cells(folder: Path | None) -> pd.DataFrame | None:
    """Labels and embedding of the cells of a run, at most so many, the same of all models."""
    if folder is None or not (folder / PREDICTIONS).is_file():
        return None
    table = pd.read_parquet(folder / PREDICTIONS)
    if not set(LABELS) <= set(table.columns):
        return None
    if len(table) > _MOST_CELLS:
        table = table.sample(_MOST_CELLS, random_state=0).sort_index()
    return table


def _plane(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    names = [name for name in table.columns if str(name).startswith(_PREDICTED)]
    values = table[names].to_numpy(dtype=np.float32)
    settings = DemoSettings(seed=0, nearest=min(_NEIGHBOURS, len(values) - 1))
    return np.asarray(umap(values, settings), dtype=np.float64)
