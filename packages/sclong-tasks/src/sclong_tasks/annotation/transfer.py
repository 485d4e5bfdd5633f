"""Labels by the vote of the nearest cells of a reference, with a stated coverage.

Split-conformal prediction (Vovk, Gammerman and Shafer 2005): if query and reference are alike, the
true label is among those that a cell is given, and the cell is not called unknown, with at least
the stated probability. Half of the error that is left goes to the sets of labels, half to what is
called unknown. Where query and reference differ, nothing is promised: compare with labels.

Cells of another study lie farther from a reference than its own, all of them. So distances of the
query are divided by how much farther its middle cell lies, before one is called unknown for it.

Shapes: q query cells, r reference cells that vote, k nearest of them, l labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError
from sclong_tasks.annotation.reference import Floats, Reference

NEIGHBOURS = 15
UNKNOWN = "unknown"
COLUMNS = ("label", "nearest_label", "probability", "label_set", "unknown", "familiarity")
"""Of the table of an annotation."""
COVERAGE = 0.95
_AT_ONCE = 1 << 25
"""Similarities in memory at a time."""


class Vote(NamedTuple):
    """What the nearest cells say."""

    shares_ql: npt.NDArray[np.float64]
    """Share of the votes that each label has; 1 in all."""
    distance_q: npt.NDArray[np.float64]
    """Mean cosine distance of those who vote."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """Labels of query cells."""

    labels: tuple[str, ...]
    """All labels of the reference."""
    shares: npt.NDArray[np.float64]
    """``(cells, labels)`` shares of the votes."""
    contained: npt.NDArray[np.bool_]
    """``(cells, labels)`` the sets of labels: the true one is in it with the stated coverage."""
    familiarity: npt.NDArray[np.float64]
    """``(cells,)`` conformal p-value that a cell is like those of the reference."""
    unknown: npt.NDArray[np.bool_]
    """``(cells,)`` no label fits, or the cell lies too far from the reference."""
    coverage: float
    shift: float
    """How much farther the middle query cell lies than the middle cell of the reference."""

    @property
    def best(self) -> npt.NDArray[np.str_]:
        """``(cells,)`` the label with most votes, whether or not the cell is unknown."""
        return np.asarray(np.asarray(self.labels)[self.shares.argmax(1)], dtype=str)

    def table(self) -> pd.DataFrame:
        """One row a cell: label, probability, set of labels, unknown, familiarity."""
        names = np.asarray(self.labels)
        return pd.DataFrame(
            {
                "label": np.where(self.unknown, UNKNOWN, self.best),
                "nearest_label": self.best,
                "probability": self.shares.max(1),
                "label_set": ["; ".join(names[row]) for row in self.contained],
                "unknown": self.unknown,
                "familiarity": self.familiarity,
            }
        )


def annotate(
    vectors: npt.ArrayLike,
    reference: Reference,
    *,
    coverage: float = COVERAGE,
    neighbours: int = NEIGHBOURS,
    allow_shift: bool = True,
) -> Annotation:
    """Give labels to cells.

    The nearest label of a cell, its probability and its set of labels depend on its vector and the
    reference alone. Whether it is unknown depends on other query cells too, unless no shift is
    allowed for.

    Args:
        vectors: ``(cells, width)`` made as those of the reference were made.
        reference: labelled cells.
        coverage: of the sets of labels, above 0 and below 1.
        neighbours: that vote.
        allow_shift: take the middle query cell for as familiar as the middle cell of the
            reference. Wrong where most of the query is of types that the reference lacks.

    Raises:
        InputError: the vectors are not as wide as those of the reference, or are no directions.
        ConfigError: a setting is impossible.
    """
    if not 0 < coverage < 1:
        raise ConfigError(f"coverage must be above 0 and below 1, not {coverage!r}")
    if neighbours < 1:
        raise ConfigError(f"neighbours must be 1 or more, not {neighbours}")
    values = reference.placed(vectors)
    return annotate_placed(values, reference, coverage, neighbours, allow_shift=allow_shift)


def annotate_placed(
    values: Floats, reference: Reference, coverage: float, neighbours: int, *, allow_shift: bool
) -> Annotation:
    """The same for vectors of length 1 around the centre of the reference."""
    held = reference.calibrates
    known = vote(reference.vectors[held], reference, neighbours)
    codes = reference.codes[held]
    miss = (1 - coverage) / 2
    surprise = np.sort(1 - known.shares_ql[np.arange(len(codes)), codes])
    place = int(np.ceil((len(codes) + 1) * (1 - miss))) - 1
    limit = surprise[place] if place < len(codes) else np.inf
    found = vote(values, reference, neighbours)
    contained = 1 - found.shares_ql <= limit
    distances = np.sort(known.distance_q)
    shift = float(np.median(found.distance_q) / max(float(np.median(distances)), 1e-9))
    judged_q = found.distance_q / max(shift, 1.0) if allow_shift else found.distance_q
    farther = len(distances) - np.searchsorted(distances, judged_q, side="left")
    familiarity = (1 + farther) / (len(distances) + 1)
    unknown = (familiarity <= miss) | ~contained.any(1)
    return Annotation(
        reference.labels, found.shares_ql, contained, familiarity, unknown, coverage, shift
    )


def vote(vectors: Floats, reference: Reference, neighbours: int = NEIGHBOURS) -> Vote:
    """The vote of the nearest reference cells, nearer ones counting more.

    A vote weighs ``exp(-(d / d_k) ** 2)``, where ``d`` is the cosine distance and ``d_k`` that of
    the farthest cell that votes.
    """
    voters = reference.vectors[~reference.calibrates]
    codes_r = reference.codes[~reference.calibrates]
    count = min(neighbours, len(voters))
    shares, distance = [], []
    for similar_qr in _similarities(vectors, voters):
        near_qk = np.argpartition(-similar_qr, count - 1, axis=1)[:, :count]
        d_qk = 1 - np.take_along_axis(similar_qr, near_qk, axis=1).astype(np.float64)
        d_qk = d_qk.clip(min=0)
        weight_qk = np.exp(-((d_qk / d_qk.max(1, keepdims=True).clip(min=1e-9)) ** 2))
        votes_ql = np.zeros((len(d_qk), len(reference.labels)))
        np.add.at(votes_ql, (np.arange(len(d_qk))[:, None], codes_r[near_qk]), weight_qk)
        shares.append(votes_ql / votes_ql.sum(1, keepdims=True))
        distance.append(d_qk.mean(1))
    return Vote(np.concatenate(shares), np.concatenate(distance))


def _similarities(vectors: Floats, voters: Floats) -> Iterator[Floats]:
    rows = max(1, _AT_ONCE // len(voters))
    for start in range(0, len(vectors), rows):
        yield vectors[start : start + rows] @ voters.T
