"""Metrics over cell types, and what the heat maps show."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from sclong_tasks.marker_clustering.config import MarkerSettings
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.marker_clustering.metrics import Sizes, TypeResult, measure_type
from sclong_tasks.metrics.intervals import mean_over
from sclong_tasks.task import Metric, Rows

_LEVEL = 0.05


def measure(
    data: MarkerData, predictions: pd.DataFrame, rows: Rows, settings: MarkerSettings
) -> list[Metric]:
    """Means over cell types, shares of them, and each type's own z.

    Args:
        data: with markers.
        predictions: a vector for each row.
        rows: that were predicted.
        settings: sizes and draws.
    """
    sizes = Sizes(
        settings.draws, settings.near, settings.top, settings.clusters, settings.cluster_genes
    )
    vectors = predictions.to_numpy()
    results: dict[str, TypeResult] = {}
    for place, kind in enumerate(data.kinds):
        here = np.flatnonzero(data.kind[rows] == place)
        chosen = np.asarray(rows)[here]
        marked = np.flatnonzero(data.marker[chosen] == 1)
        # The same random sets for every model and seed: they compare on the same ground.
        results[kind] = measure_type(
            vectors[here], marked, data.mean[chosen], sizes=sizes, seed=place
        )
    return _summary(results, settings.bootstrap)


def _summary(results: dict[str, TypeResult], draws: int) -> list[Metric]:
    def mean(name: str, value: Callable[[TypeResult], float], *, higher: bool = True) -> Metric:
        return _over_types(name, [value(one) for one in results.values()], draws, higher=higher)

    similar = _discoveries([one.p_value for one in results.values()])
    clustered = _discoveries([one.cluster_p for one in results.values()])
    found = [
        mean("marker_z", lambda one: one.z),
        mean("marker_excess", lambda one: one.excess),
        mean("marker_difference", lambda one: one.difference),
        mean("marker_auroc", lambda one: one.auroc),
        mean("top_markers", lambda one: one.top),
        mean("top_matched", lambda one: one.top_matched, higher=False),
        mean("cluster_log10_p", lambda one: one.cluster_log10),
        _over_types("similar_types", similar, draws),
        _over_types("clustered_types", clustered, draws),
    ]
    return found + [
        Metric("marker_z", one.z, 1, higher_is_better=True, unit="cell type", stratum=kind)
        for kind, one in results.items()
    ]


def _discoveries(p_values: list[float]) -> list[float]:
    """1 for types that stand out at a false discovery rate of 5 % (Benjamini-Hochberg), else 0."""
    return [float(adjusted <= _LEVEL) for adjusted in false_discovery_control(p_values)]


def _over_types(name: str, values: list[float], draws: int, *, higher: bool = True) -> Metric:
    """The mean over types; those where it is not defined are not counted."""
    known = [value for value in values if np.isfinite(value)]
    return mean_over(name, known, unit="cell type", draws=draws, higher_is_better=higher)
