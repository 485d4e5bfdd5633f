"""The vote of the nearest cells.

Shapes: q cells that ask, r cells that vote, k nearest of them, l labels.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from sclong_tasks.annotation.space import Codes, Doubles, Floats

NEIGHBOURS = 15
_MIDDLES = 0.05
"""Doubt that a cosine distance of 1 from the middle of a label adds: less than a vote."""
_AT_ONCE = 2000
"""Cells between two reports of progress."""


class Vote(NamedTuple):
    """What the nearest cells say."""

    shares_ql: Doubles
    """Share of the votes that each label has; 1 in all."""
    doubt_ql: Doubles
    """1 less that share, and a little for the cosine distance of the label's middle, which ranks
    labels that nobody votes for."""
    distance_q: Doubles
    """Mean cosine distance of those who vote."""
    nearest_q: Doubles
    """Cosine distance of the nearest."""


class Voters:
    """Labelled directions that vote.

    Args:
        directions: ``(r, width)`` of length 1.
        codes: ``(r,)`` labels by number.
        labels: how many there are.
        neighbours: that vote.
    """

    def __init__(  # settings of a user, each by its name
        self, directions: Floats, codes: Codes, labels: int, neighbours: int = NEIGHBOURS
    ) -> None:
        self._codes, self._labels = codes, labels
        self._count = min(neighbours, len(codes))
        # For directions the nearest by distance are the nearest by cosine.
        self._index = NearestNeighbors(algorithm="brute").fit(directions)
        self._middles = _middles(directions, codes, labels)

    def vote(
        self,
        directions: Floats,
        *,
        themselves: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Vote:
        """What the nearest voters say of cells, nearer ones counting more.

        A vote weighs ``exp(-(d / d_k) ** 2)``, where ``d`` is the cosine distance and ``d_k`` that
        of the farthest cell that votes.

        Args:
            directions: ``(q, width)``.
            themselves: the cells are voters: their nearest is themselves, and does not vote.
            progress: is told how many cells were done since it was last told.
        """
        parts = []
        for start in range(0, len(directions), _AT_ONCE):
            asked = directions[start : start + _AT_ONCE]
            parts.append(self._of(asked, themselves=themselves))
            if progress is not None:
                progress(len(asked))
        return Vote(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _of(self, directions: Floats, *, themselves: bool) -> Vote:
        count = min(self._count + themselves, len(self._codes))
        far_qk, near_qk = self._index.kneighbors(directions, n_neighbors=count)
        if themselves and count > 1:
            far_qk, near_qk = far_qk[:, 1:], near_qk[:, 1:]
        d_qk = np.asarray(far_qk, dtype=np.float64) ** 2 / 2
        weight_qk = np.exp(-((d_qk / d_qk.max(1, keepdims=True).clip(min=1e-9)) ** 2))
        votes_ql = np.zeros((len(d_qk), self._labels))
        np.add.at(votes_ql, (np.arange(len(d_qk))[:, None], self._codes[near_qk]), weight_qk)
        shares_ql = votes_ql / votes_ql.sum(1, keepdims=True)
        apart_ql = 1 - directions.astype(np.float64) @ self._middles.T
        return Vote(shares_ql, 1 - shares_ql + _MIDDLES * apart_ql, d_qk.mean(1), d_qk.min(1))


def _middles(directions: Floats, codes: Codes, labels: int) -> Doubles:
    """``(labels, width)`` directions of the means; zeros for labels of no voters."""
    found = np.zeros((labels, directions.shape[1]))
    for code in np.unique(codes):
        mean = directions[codes == code].mean(0, dtype=np.float64)
        found[code] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return found


def told_codes(vote: Vote) -> npt.NDArray[np.intp]:
    """``(q,)`` the label with most votes, by number; of several, the first."""
    return np.asarray(vote.shares_ql.argmax(1), dtype=np.intp)
