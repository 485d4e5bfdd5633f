"""What is measured of the vectors of labelled cells."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sclong_bench.judging.sets import LabelledCells
from sclong_tasks.metrics.intervals import bootstrap_interval
from sclong_tasks.metrics.leiden import nmi_and_ari_of_leiden
from sclong_tasks.metrics.nearest import tell_types
from sclong_tasks.metrics.neighbours import GRAPH_NEIGHBOURS, cilisi_by_type, find_neighbours
from sclong_tasks.metrics.silhouette import bras_by_type

Floats = npt.NDArray[np.float64]
PRIMARY = "macro_f1"
RESOLUTIONS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
DRAWS = 200


@dataclass(frozen=True)
class Measured:
    """One number of one embedding."""

    measure: str
    value: float
    low: float | None = None
    """End of the 95 % interval over cells, where there is one."""
    high: float | None = None


def measure(
    embedding: npt.ArrayLike,
    cells: LabelledCells,
    *,
    draws: int = DRAWS,
    types_alone: bool = False,
    clusters: bool = True,
) -> Iterator[Measured]:
    """Types by neighbours, clusters and mixing of an embedding.

    Args:
        embedding: ``(cells, numbers)``.
        cells: the same cells, with their types and batches.
        draws: of cells for the intervals; 0 for none.
        types_alone: leave out clusters and mixing.
        clusters: of Leiden, the slowest part.

    Yields:
        ``macro_f1`` and ``accuracy`` over folds, the same with each cell left out, ``nmi`` and
        ``ari`` of Leiden at the best resolution of a fixed list, ``cilisi`` and ``bras`` where
        there are batches.
    """
    values = np.asarray(embedding, dtype=np.float64)
    told = tell_types(values, cells.types)
    units = np.arange(len(values))
    for name, score in (
        (PRIMARY, told.macro_f1),
        ("accuracy", told.accuracy),
        ("macro_f1_left_out", told.left_out_macro_f1),
        ("accuracy_left_out", told.left_out_accuracy),
    ):
        low, high = bootstrap_interval(score, units, draws=draws)
        yield Measured(name, score(), low, high)
    if types_alone:
        return
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    unit = values / np.where(norms > 0, norms, 1)  # Euclidean distances order these as cosines do
    if clusters:
        nmi, ari = nmi_and_ari_of_leiden(
            find_neighbours(unit, GRAPH_NEIGHBOURS), cells.types, resolutions=RESOLUTIONS
        )
        yield Measured("nmi", nmi)
        yield Measured("ari", ari)
    if cells.batches is not None:
        yield Measured("cilisi", _mean(cilisi_by_type(unit, cells.batches, cells.types)))
        yield Measured("bras", _mean(bras_by_type(unit, cells.batches, cells.types)))


def centred(embedding: npt.ArrayLike) -> Floats:
    """Vectors around their mean over the target."""
    values = np.asarray(embedding, dtype=np.float64)
    return np.asarray(values - values.mean(0))


def _mean(by_type: dict[str, float]) -> float:
    return float(np.mean(list(by_type.values()))) if by_type else float("nan")
