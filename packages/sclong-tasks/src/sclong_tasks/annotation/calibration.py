"""What votes are worth, from labelled cells that do not vote (split-conformal prediction).

Vovk, Gammerman and Shafer (2005): among cells of which it cannot be told which of them calibrate
and which ask, a limit that a given share of the calibrating cells keep is kept by at least that
share of those that ask. Two limits are taken so: how few votes a true label may have (of labels
without any, how far its middle may lie), and how far a cell may lie from the reference.

How far is counted in the distance that is usual for the label that the cell is told: types that are
scattered, as monocytes are, are not taken for unknown because of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from sclong_tasks.annotation.neighbours import Vote, Voters, told_codes
from sclong_tasks.annotation.space import Codes, Doubles, Floats

_ASKED = 100
"""Voters of a label that say which distance is usual for it."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What calibrating cells got.

    Args:
        usual: ``(labels,)`` distance that is usual for voters of a label.
        doubt: ``(calibrating,)`` sorted: of their true labels.
        remoteness: ``(calibrating,)`` sorted: distance, in the one usual for the told label.
        accuracy: share of them that are labelled correctly.
        macro_f1: of them.
        chance: share of them that has the commonest label.
    """

    usual: Doubles
    doubt: Doubles
    remoteness: Doubles
    accuracy: float
    macro_f1: float
    chance: float

    def largest_doubt(self, coverage: float) -> float:
        """Limit that true labels keep with this probability; infinite if cells are too few."""
        return _limit(self.doubt, coverage)

    def largest_remoteness(self, false_unknown: float) -> float:
        """Limit that a cell like those of the reference exceeds with at most this probability."""
        return _limit(self.remoteness, 1 - false_unknown)

    def remoteness_of(self, vote: Vote) -> Doubles:
        """``(q,)`` how many times as far as is usual for its told label a cell lies."""
        return np.asarray(vote.distance_q / self.usual[told_codes(vote)], dtype=np.float64)


def calibrate(
    directions: Floats,
    codes: Codes,
    calibrates: npt.NDArray[np.bool_],
    batches: npt.NDArray[np.int64] | None,
) -> Calibration:
    """Ask the voters about cells that do not vote.

    Args:
        directions: ``(cells, width)`` of the whole reference.
        codes: ``(cells,)`` labels by number.
        calibrates: ``(cells,)`` cells that do not vote.
        batches: ``(cells,)`` batches by number: a calibrating cell is told by other batches than
            its own, as a cell of a new one will be. None to take all cells as of one.
    """
    labels = int(codes.max()) + 1
    usual = _usual_distances(directions[~calibrates], codes[~calibrates], labels)
    parts = []
    for held, voters in _questions(codes, calibrates, batches):
        vote = Voters(directions[voters], codes[voters], labels).vote(directions[held])
        told = told_codes(vote)
        doubt = vote.doubt_ql[np.arange(len(told)), codes[held]]
        parts.append((codes[held], told, doubt, vote.distance_q / usual[told]))
    truth, told, doubt, remoteness = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Calibration(
        usual,
        np.sort(doubt),
        np.sort(remoteness),
        accuracy=float((told == truth).mean()),
        macro_f1=float(f1_score(truth, told, average="macro", labels=np.unique(truth))),
        chance=float(np.bincount(truth).max() / len(truth)),
    )


def _questions(
    codes: Codes, calibrates: npt.NDArray[np.bool_], batches: npt.NDArray[np.int64] | None
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Calibrating cells, and voters that tell them."""
    if batches is None:
        yield np.flatnonzero(calibrates), np.flatnonzero(~calibrates)
        return
    for batch in np.unique(batches):
        voters = np.flatnonzero(~calibrates & (batches != batch))
        # A label that no other batch has cannot be told by them: that says nothing of the vote.
        held = np.flatnonzero(calibrates & (batches == batch) & np.isin(codes, codes[voters]))
        if len(held):
            yield held, voters


def _usual_distances(directions: Floats, codes: Codes, labels: int) -> Doubles:
    """Median distance of voters of each label from their nearest others."""
    asked = np.concatenate(
        [_spread(np.flatnonzero(codes == code)) for code in range(labels)]
    ).astype(np.intp)
    vote = Voters(directions, codes, labels).vote(directions[asked], themselves=True)
    found = np.full(labels, np.median(vote.distance_q))
    for code in np.unique(codes[asked]):
        found[code] = np.median(vote.distance_q[codes[asked] == code])
    return np.asarray(np.maximum(found, 1e-9), dtype=np.float64)


def _spread(places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """At most so many as are asked, evenly over all."""
    if len(places) <= _ASKED:
        return places
    return places[np.linspace(0, len(places) - 1, _ASKED).astype(np.intp)]


def _limit(ordered: Doubles, share: float) -> float:
    place = int(np.ceil((len(ordered) + 1) * share - 1e-9)) - 1
    return float(ordered[place]) if place < len(ordered) else float("inf")
