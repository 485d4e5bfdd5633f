"""A clustered heat map of markers of one cell type beside genes that are expressed as much."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from sclong_bench.evidence.data import EvidenceData
from sclong_bench.evidence.genes import SCLONG
from sclong_bench.evidence.suite import EvidenceSuite
from sclong_bench.report.words import name_of
from sclong_data.report.figure import Figure
from sclong_data.report.heatmap import heat_map
from sclong_data.report.svg import Text
from sclong_data.report.table import Cell, Column, Table
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.marker_clustering.metrics import clustered_order, matched_sets, unit_vectors
from sclong_tasks.task import RunContext

COLUMNS = ("cells", "kind", "model", "gene", "marker", "other", "cosine")
"""Of the table that the figure is drawn from."""
_MARKERS = 14
"""At most so many, those of the highest expression, so that names can be read on a phone."""


def similarities(
    suite: EvidenceSuite, data: EvidenceData, models: Mapping[str, Path]
) -> pd.DataFrame:
    """Cosines of genes in the type of which most markers are measured.

    Args:
        suite: whose seed draws cells.
        data: with markers.
        models: name -> checkpoint.
    """
    counts = [one for one in data.known.coverage.markers if one.measured]
    if not counts:
        return pd.DataFrame(columns=list(COLUMNS))
    best = max(counts, key=lambda one: (one.expressed, one.count))
    markers = data.known.markers()[best.cells]
    rows = [
        {"cells": best.cells, "kind": best.kind, "model": name, **row}
        for name, path in models.items()
        for row in _rows(markers, best.kind, suite, path)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(
    data: MarkerData, kind: str, suite: EvidenceSuite, checkpoint: Path
) -> Iterator[dict[str, Any]]:
    place = data.kinds.index(kind)
    here = np.flatnonzero(data.kind == place)
    mean = data.mean[here]
    marked = np.flatnonzero(data.marker[here] == 1)
    marked = marked[np.argsort(-mean[marked], kind="stable")[:_MARKERS]]
    sets, _ = matched_sets(
        mean, np.flatnonzero(data.marker[here] == 1), draws=1, near=data.settings.near, seed=place
    )
    every = np.concatenate([marked, sets[0][: len(marked)]])
    assert SCLONG.genes is not None
    model = SCLONG.genes()
    context = RunContext(
        suite.evaluation.seed, "honest", scratch=checkpoint, checkpoint=checkpoint, device="cpu"
    )
    model.context, model.seed = context, context.seed
    units = unit_vectors(model.vectors(data, place, data.gene[here[every]]))
    names = [data.expression.genes[gene] for gene in data.gene[here[every]]]
    for row, gene in enumerate(names):
        for column, other in enumerate(names):
            cosine = round(float(units[row] @ units[column]), 4)
            is_marker = bool(data.marker[here[every[row]]] == 1)
            yield {"gene": gene, "marker": is_marker, "other": other, "cosine": cosine}


def similarity_figure(table: pd.DataFrame) -> Figure | None:
    """A panel a model, each clustered by itself; None without a type that could be measured."""
    if table.empty:
        return None
    panels: list[Element] = []
    numbers: list[list[Cell]] = []
    for model, rows in table.groupby("model", sort=False):
        panel, between = _panel(str(model), rows)
        panels.append(panel)
        numbers.append([name_of(str(model)), *between])
    first = table.iloc[0]
    caption = (
        f"Cosine similarity of the representations of genes in cells of type {first['kind']} "
        f"({name_of(first['cells'])}), averaged over cells, clustered; first seed. Bold red names "
        "are markers of the type; each other gene is one that is expressed as much as one of them. "
        "Markers that stand together, in a darker square, are alike to the model."
    )
    columns = [
        Column("model"),
        Column("markers with markers", 3),
        Column("markers with others", 3),
        Column("others with others", 3),
    ]
    return Figure(panels, caption, [Table(columns, numbers, caption="Mean cosines of pairs")])


def _panel(model: str, rows: pd.DataFrame) -> tuple[Element, Sequence[float]]:
    square = rows.pivot(index="gene", columns="other", values="cosine")
    values = square.loc[square.columns].to_numpy(dtype=np.float64)
    marked = rows.drop_duplicates("gene").set_index("gene")["marker"].loc[square.columns]
    order, tree = clustered_order(values)
    names = [str(square.columns[place]) for place in order]
    shown = [bool(marked.iloc[place]) for place in order]
    text = Text(
        f"similarity-{model.replace('_', '-')}",
        f"Similarity of genes: {name_of(model)}",
        f"Cosine similarity of {len(names)} genes, {sum(shown)} of them markers, clustered.",
    )
    mark = marked.to_numpy(dtype=bool)
    apart = ~np.eye(len(mark), dtype=bool)
    pairs = [(mark, mark), (mark, ~mark), (~mark, ~mark)]
    between = [float(values[np.outer(one, other) & apart].mean()) for one, other in pairs]
    panel = heat_map(
        text,
        values[np.ix_(order, order)],
        names,
        marked=shown,
        tree=tree,
        heading=name_of(model),
    )
    return panel, between
