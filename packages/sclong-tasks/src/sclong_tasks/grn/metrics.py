"""Metrics of ranked edges: average precision and early precision, over what chance gives.

Edges are ranked by the size of their weight, whatever its sign. What was never predicted has a size
of -1, as in the evaluation of DeepSEM: it is ranked behind all others, and is never an early edge.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sclong_tasks.metrics.classification import within_groups
from sclong_tasks.task import Metric

Floats = npt.NDArray[np.float64]
_TAIL = 0.025


@dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates from the largest weight to the smallest; those that tie are in one group.

    Args:
        edge: 1 or 0, of each candidate in this order.
        size: of its weight.
        last: places of the last candidates of groups, ascending.
        order: of these candidates in what was ranked.
    """

    edge: Floats
    size: Floats
    last: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]


def rank(edge: npt.ArrayLike, size: npt.ArrayLike) -> Ranking:
    """Rank candidates by the size of their weight."""
    size = np.asarray(size, dtype=np.float64)
    order = np.argsort(-size, kind="stable")
    ordered = size[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1).astype(np.int64)
    return Ranking(np.asarray(edge, dtype=np.float64)[order], ordered, last, order)


def average_precision(ranking: Ranking, counts: Floats | None = None) -> float:
    """Area under the precision-recall curve as a sum of steps, ties taken together.

    Args:
        ranking: of the candidates.
        counts: how often each candidate, in the order of the ranking, is there; once by default.

    Returns:
        NaN where all are edges, or none is.
    """
    hits, found = _sums(ranking, counts)
    if not 0 < hits[-1] < found[-1]:
        return float("nan")
    here = found > 0
    steps = np.diff(hits[here], prepend=0.0)
    return float((steps * hits[here] / found[here]).sum() / hits[-1])


def early_precision(ranking: Ranking, *, ties: str = "kept", counts: Floats | None = None) -> float:
    """Share of edges among as many first candidates as there are edges.

    Args:
        ranking: of the candidates.
        ties: "kept": all that tie with the last of them count, and weights of 0 never do (BEELINE);
            "first": exactly as many, by the order that they were given in; where fewer were
            predicted, the share is still over as many as there are edges (DeepSEM).
        counts: as in :func:`average_precision`.

    Returns:
        0 where no weight is above 0; NaN without edges.
    """
    if ties == "first":
        edges = int(ranking.edge.sum())
        early = ranking.edge[:edges][ranking.size[:edges] >= 0]
        return float(early.sum() / edges) if edges else float("nan")
    hits, found = _sums(ranking, counts)
    if not hits[-1]:
        return float("nan")
    positive = int((ranking.size[ranking.last] > 0).sum())
    if not positive or not found[positive - 1]:
        return 0.0
    group = min(int(np.searchsorted(found, hits[-1])), positive - 1)
    return float(hits[group] / found[group])


def density(ranking: Ranking, counts: Floats | None = None) -> float:
    """Share of edges among candidates: the precision of a model that knows nothing."""
    if counts is None:
        return float(ranking.edge.mean())
    return float((ranking.edge * counts).sum() / counts.sum())


def measure(
    edge: npt.ArrayLike,
    size: npt.ArrayLike,
    source: npt.ArrayLike,
    *,
    ties: str,
    draws: int,
    stratum: str = "all",
    loops: int = 0,
) -> list[Metric]:
    """Both ratios with intervals by drawing sources, and what they are made of.

    Args:
        edge: 1 or 0, of each candidate.
        size: of the weight that was predicted.
        source: its regulator, which is drawn as a whole.
        ties: of :func:`early_precision`.
        draws: for the intervals.
        stratum: for the names of the metrics.
        loops: candidates from a factor to itself. Their edges count among those that should be
            early, and they do not in the chance that early precision is divided by (DeepSEM).
    """
    ranking = rank(edge, size)
    _, codes = np.unique(np.asarray(source), return_inverse=True)
    share = density(ranking)
    precision, early = average_precision(ranking), early_precision(ranking, ties=ties)
    intervals = _intervals(ranking, codes[ranking.order], ties, draws)
    count = len(ranking.edge)
    early_count = count - loops
    early_share = share * count / early_count

    def metric(
        name: str, value: float, interval: tuple[float | None, float | None], n: int = count
    ) -> Metric:
        low, high = interval
        return Metric(
            name, value, n, higher_is_better=True, unit="factor", low=low, high=high,
            stratum=stratum,
        )  # fmt: skip

    nothing = (None, None)
    within, _ = within_groups(edge, size, source)
    return [
        metric("aupr_ratio", precision / share if share else float("nan"), intervals[0]),
        metric("epr", early / early_share if share else float("nan"), intervals[1], early_count),
        metric("average_precision", precision, nothing),
        metric("early_precision", early, nothing, early_count),
        metric("density", share, nothing),
        metric("auroc_within_factor", within, nothing),
    ]


def _sums(ranking: Ranking, counts: Floats | None) -> tuple[Floats, Floats]:
    """Edges and candidates up to the end of each group of ties."""
    if counts is None:
        return np.cumsum(ranking.edge)[ranking.last], (ranking.last + 1).astype(np.float64)
    hits, found = np.cumsum(ranking.edge * counts), np.cumsum(counts)
    return hits[ranking.last], found[ranking.last]


def _intervals(
    ranking: Ranking, codes: npt.NDArray[np.int64], ties: str, draws: int
) -> list[tuple[float | None, float | None]]:
    """95 % intervals of both ratios; None where there are fewer than two sources."""
    units = int(codes.max()) + 1
    if units < 2 or draws < 1:
        return [(None, None), (None, None)]
    generator = np.random.default_rng(0)
    found = np.empty((draws, 2))
    for draw in range(draws):
        drawn = np.bincount(generator.integers(units, size=units), minlength=units)
        counts = drawn[codes].astype(np.float64)
        share = density(ranking, counts)
        # Where a source is drawn twice its candidates tie with themselves, so ties are kept.
        both = average_precision(ranking, counts), early_precision(ranking, counts=counts)
        found[draw] = np.divide(both, share) if share else np.nan
    if ties == "first":
        found[:, 1] = np.nan
    return [_quantiles(found[:, column]) for column in (0, 1)]


def _quantiles(values: Floats) -> tuple[float | None, float | None]:
    finite = values[np.isfinite(values)]
    if len(finite) < len(values) / 2:
        return None, None
    low, high = np.quantile(finite, [_TAIL, 1 - _TAIL])
    return float(low), float(high)
