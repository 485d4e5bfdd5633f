"""Metrics of one embedding: mixing of batches, and what is left of cell types."""

import numpy as np
import numpy.typing as npt

from sclong_tasks.batch_integration.config import IntegrationSettings
from sclong_tasks.metrics.clusters import nmi_and_ari
from sclong_tasks.metrics.intervals import mean_over
from sclong_tasks.metrics.leiden import nmi_and_ari_of_leiden
from sclong_tasks.metrics.neighbours import (
    cilisi_by_type,
    clisi,
    connectivity_by_type,
    find_neighbours,
    ilisi,
)
from sclong_tasks.metrics.silhouette import batch_asw_by_type, bras_by_type, cell_type_asw
from sclong_tasks.task import Metric


def measure(
    embedding: npt.NDArray[np.float64],
    batch: npt.NDArray[np.str_],
    cell_type: npt.NDArray[np.str_],
    *,
    seed: int,
    settings: IntegrationSettings,
) -> list[Metric]:
    """All metrics, from 0 to 1 (ARI from below 0), higher is better; NaN where undefined.

    Args:
        embedding: ``(cells, numbers)``.
        batch: of each cell.
        cell_type: of each cell.
        seed: of k-means and Leiden.
        settings: neighbours and draws.

    Raises:
        InputError: a value is not a number.
    """
    draws = settings.bootstrap
    found = [over_types("batch_asw", batch_asw_by_type(embedding, batch, cell_type), draws)]
    if settings.batch_asw_only:
        return found
    near = find_neighbours(embedding, max(settings.lisi_neighbours, settings.neighbours))
    wide = find_neighbours(embedding, settings.lisi_neighbours)
    nmi, ari = nmi_and_ari(embedding, cell_type, seed=seed)
    connected = connectivity_by_type(near, cell_type, settings.neighbours)
    mixed = cilisi_by_type(embedding, batch, cell_type, settings.lisi_neighbours)
    graph = {}
    if settings.leiden:
        scores = nmi_and_ari_of_leiden(near, cell_type, neighbours=settings.neighbours, seed=seed)
        graph = dict(zip(("nmi_leiden", "ari_leiden"), scores, strict=True))
    return [
        *found,
        over_types("bras", bras_by_type(embedding, batch, cell_type), draws),
        over_cells("ilisi", ilisi(wide, batch), len(batch)),
        over_types("cilisi", mixed, draws),
        over_types("graph_connectivity", connected, draws),
        over_cells("cell_type_asw", cell_type_asw(embedding, cell_type), len(batch)),
        over_cells("nmi", nmi, len(batch)),
        over_cells("ari", ari, len(batch)),
        *(over_cells(name, value, len(batch)) for name, value in graph.items()),
        over_cells("clisi", clisi(wide, cell_type), len(batch)),
    ]


def over_types(name: str, by_type: dict[str, float], draws: int) -> Metric:
    """The mean over cell types, with an interval by drawing types; NaN without any."""
    return mean_over(name, list(by_type.values()), unit="cell type", draws=draws)


def over_cells(name: str, value: float, cells: int) -> Metric:
    """A number about all cells."""
    return Metric(name, value, cells, higher_is_better=True, unit="cell")
