"""Drawings of ranked edges: precision over recall, and bars of transcription factors."""

from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from sclong_data.report.bars import Bar, bar_chart
from sclong_data.report.lines import Series, line_chart
from sclong_data.report.svg import Text
from sclong_tasks.grn.metrics import Ranking, average_precision, rank

_POINTS, _BARS = 300, 12


def precision_recall(ranking: Ranking, share: float) -> Element:
    """Precision over recall, beside what chance gives.

    Args:
        ranking: of the candidates.
        share: of edges among them.
    """
    hits = np.cumsum(ranking.edge)[ranking.last]
    found = ranking.last + 1
    recall, precision = hits / max(1.0, hits[-1]), hits / found
    places = np.unique(np.linspace(0, len(recall) - 1, _POINTS).astype(int))
    curve = [(float(recall[place]), float(precision[place])) for place in places]
    value = average_precision(ranking)
    return line_chart(
        Text(
            "precision-recall",
            "Precision over recall",
            f"Average precision {value:.3g}; {share:.3g} by chance.",
        ),
        [Series("edges", curve), Series("chance", [(0.0, share), (1.0, share)])],
        x_label="recall",
        y_label="precision",
    )


def by_factor(ranking: Ranking, names: npt.NDArray[np.str_]) -> Element:
    """Average precision over chance of the factors with most edges, as bars.

    Args:
        ranking: of the candidates.
        names: of the factor of each candidate, before it was ranked.
    """
    ordered = names[ranking.order]
    factors, codes = np.unique(ordered, return_inverse=True)
    edges = np.bincount(codes, weights=ranking.edge)
    bars = []
    for place in np.argsort(-edges, kind="stable")[:_BARS]:
        here = codes == place
        one = rank(ranking.edge[here], ranking.size[here])
        value = average_precision(one)
        if not np.isnan(value):
            bars.append(Bar(str(factors[place]), value / float(one.edge.mean())))
    bars = bars or [Bar("none", 0.0)]
    return bar_chart(
        Text("factors", "Factors with most edges", f"{len(factors)} factors in all."),
        bars,
        label="average precision over chance",
    )
