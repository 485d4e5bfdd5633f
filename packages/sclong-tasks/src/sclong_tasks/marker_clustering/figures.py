"""Clustered heat maps of one cell type each, as the paper draws them."""

from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from sclong_data.report.heatmap import heat_map
from sclong_data.report.svg import Text
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.marker_clustering.metrics import clustered_order, top_genes, unit_vectors
from sclong_tasks.task import Rows


def draw_types(data: MarkerData, predictions: pd.DataFrame, rows: Rows) -> dict[str, Element]:
    """By the name of the file: cosines of the genes of highest cumulative similarity."""
    vectors = predictions.to_numpy()
    found = {}
    for place, kind in enumerate(data.kinds):
        here = np.flatnonzero(data.kind[rows] == place)
        chosen = np.asarray(rows)[here]
        units = unit_vectors(vectors[here])
        genes = top_genes(units, data.settings.top)
        marked = data.marker[chosen] == 1
        if data.settings.forced_markers:
            genes = np.union1d(genes, np.flatnonzero(marked))
        values = units[genes] @ units[genes].T
        order, tree = clustered_order(values)
        names = [data.expression.genes[data.gene[chosen[genes[one]]]] for one in order]
        shown = [bool(marked[genes[one]]) for one in order]
        text = Text(
            f"heat-{place}",
            f"Similarity of genes in {kind}",
            f"Cosine similarity of {len(genes)} genes, {sum(shown)} of them markers, clustered.",
        )
        key = "".join(sign if sign.isalnum() else "-" for sign in kind).strip("-").lower()
        name = f"genes-{key}"
        if name in found:
            name = f"{name}-{place}"
        found[name] = heat_map(
            text, values[np.ix_(order, order)], names, marked=shown, tree=tree, heading=kind
        )
    return found
