"""Drawings of a run: predicted values over true ones, and how profiles are spread."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from sclong_data.report.histogram import histogram
from sclong_data.report.svg import Text
from sclong_tasks.chemical_perturbation.data import ChemicalData
from sclong_tasks.chemical_perturbation.metrics import row_pearson
from sclong_tasks.figures import predicted_and_true
from sclong_tasks.splits import Split

_COLUMNS = 20


def draw(data: ChemicalData, predictions: pd.DataFrame, split: Split) -> Mapping[str, Element]:
    """Predicted over true values of all genes, and Pearson's r of each test profile."""
    truth_rg = data.values[split.test].astype(np.float64)
    predicted_rg = predictions[list(data.genes)].to_numpy(dtype=np.float64)
    found_r = row_pearson(truth_rg, predicted_rg)
    found_r = found_r[np.isfinite(found_r)]
    drawn = {
        "predicted": predicted_and_true(
            truth_rg.ravel().tolist(),
            predicted_rg.ravel().tolist(),
            name="response of a gene",
            seed=split.seed,
        )
    }
    if len(found_r):
        counts, edges = np.histogram(found_r, bins=_COLUMNS, range=(-1, 1))
        columns = [
            (float(low), float(high), float(count))
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
        said = f"Median {np.median(found_r):.2f} over {len(found_r)} test profiles."
        drawn["profiles"] = histogram(
            Text("profiles", "Correlation of each profile over its genes", said),
            columns,
            x_label="Pearson's r",
            y_label="test profiles",
        )
    return drawn
