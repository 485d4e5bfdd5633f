"""Labels by the vote of the nearest cells of a reference, at stated rates of error.

If query and reference are alike, a cell's set of labels holds the true one with a probability of
at least ``coverage``, and a cell is called unknown with one of at most ``false_unknown``. Where
they differ, by technology, tissue or state, no rate is guaranteed: compare with labels.

A cell's answer depends on its vector and the reference alone, unless the query is aligned: then it
is taken around its own mean, and as far from the reference in its middle as cells of the reference.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.annotation.neighbours import NEIGHBOURS, Voters, told_codes
from sclong_tasks.annotation.reference import UNKNOWN, Reference
from sclong_tasks.annotation.space import checked_vectors

COVERAGE, FALSE_UNKNOWN = 0.95, 0.05
COLUMNS = ("label", "nearest_label", "probability", "label_set", "unknown", "remoteness")
"""Of the table of an annotation."""
LEAST_ALIGNED = 100
"""Cells of a query that is aligned."""
_SAME = 1e-9
"""Cosine distance of one vector from itself, as rounded."""


def written_sets(labels: tuple[str, ...], contained: npt.NDArray[np.bool_]) -> pd.Categorical:
    """``(cells,)`` the labels of each set, joined by "; ".

    Args:
        labels: all of them.
        contained: ``(cells, labels)``.
    """
    names = np.asarray(labels)
    sets, places = np.unique(contained, axis=0, return_inverse=True)
    written = np.array(["; ".join(names[row]) for row in sets])
    return pd.Categorical(written[places.reshape(-1)])


@dataclass(frozen=True, eq=False)
class Annotation:
    """Labels of query cells."""

    labels: tuple[str, ...]
    """All labels of the reference."""
    shares: npt.NDArray[np.float64]
    """``(cells, labels)`` shares of the votes."""
    contained: npt.NDArray[np.bool_]
    """``(cells, labels)`` the sets of labels."""
    remoteness: npt.NDArray[np.float64]
    """``(cells,)`` distance from the nearest voters, in that usual for the told label."""
    unknown: npt.NDArray[np.bool_]
    """``(cells,)`` the cell lies too far from the reference."""
    coverage: float
    false_unknown: float
    aligned: bool
    shift: float
    """How much farther the middle query cell lies than the middle calibrating cell."""
    repeated: int
    """Cells whose vector is that of a voter of the reference."""

    @property
    def nearest_label(self) -> npt.NDArray[np.str_]:
        """``(cells,)`` the label with most votes, whether or not the cell is unknown."""
        return np.asarray(np.asarray(self.labels)[self.shares.argmax(1)], dtype=str)

    def table(self) -> pd.DataFrame:
        """One row a cell: label, nearest label, probability, set of labels, unknown, remoteness."""
        told = self.nearest_label
        return pd.DataFrame(
            {
                "label": pd.Categorical(np.where(self.unknown, UNKNOWN, told)),
                "nearest_label": pd.Categorical(told),
                "probability": self.shares.max(1),
                "label_set": written_sets(self.labels, self.contained),
                "unknown": self.unknown,
                "remoteness": self.remoteness,
            }
        )


def annotate_vectors(
    vectors: npt.ArrayLike,
    reference: Reference,
    *,
    coverage: float = COVERAGE,
    false_unknown: float = FALSE_UNKNOWN,
    align: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Annotation:
    """Give labels to vectors of cells.

    Args:
        vectors: ``(cells, width)`` made as those of the reference were made.
        reference: labelled cells.
        coverage: of the sets of labels, above 0 and below 1.
        false_unknown: share of cells like those of the reference that may be called unknown.
        align: take the query around its own mean, and its middle cell for as familiar as the
            middle cell of the reference. A cell's answer then depends on the others. Wrong where
            query and reference hold types in other proportions, above all where most of the query
            is of types that the reference lacks.
        progress: is told how many cells were done since it was last told.

    Raises:
        InputError: the vectors are not as wide as those of the reference, are not directions, or
            are too few to be aligned.
        ConfigError: a setting is impossible.
    """
    for name, share in (("coverage", coverage), ("false_unknown", false_unknown)):
        if not 0 < share < 1:
            raise ConfigError(f"{name} must be above 0 and below 1, not {share!r}")
    values = checked_vectors(vectors, "the query")
    if align and len(values) < LEAST_ALIGNED:
        raise InputError(
            f"the query has {len(values)} cells: at least {LEAST_ALIGNED} are needed to align it "
            "with the reference; leave the alignment out"
        )
    around = values.mean(0, dtype=np.float64) if align else None
    placed = reference.space.place(values, "the query", around=around)
    voters = Voters(reference.directions, reference.codes, len(reference.labels), NEIGHBOURS)
    vote = voters.vote(placed, progress=progress)
    known = reference.calibration
    contained = vote.doubt_ql <= known.largest_doubt(coverage)
    contained[np.arange(len(values)), told_codes(vote)] = True
    remoteness = known.remoteness_of(vote)
    shift = float(np.median(remoteness) / max(float(np.median(known.remoteness)), 1e-9))
    if align:
        remoteness = remoteness / max(shift, 1.0)
    return Annotation(
        labels=reference.labels,
        shares=vote.shares_ql,
        contained=contained,
        remoteness=remoteness,
        unknown=remoteness > known.largest_remoteness(false_unknown),
        coverage=coverage,
        false_unknown=false_unknown,
        aligned=align,
        shift=shift,
        repeated=int((vote.nearest_q < _SAME).sum()),
    )
