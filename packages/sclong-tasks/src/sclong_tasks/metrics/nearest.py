"""Cell types told by a cell's nearest neighbours in an embedding.

Shapes: n cells, s seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from sclong_tasks.metrics.embedding import checked_embedding

Ints = npt.NDArray[np.int64]
_Score = Callable[[Ints, Ints], float]
NEIGHBOURS = 15
FOLDS = 5


@dataclass(frozen=True)
class ToldTypes:
    """The type that each cell was told to have, as codes of the sorted names."""

    truth_n: Ints
    left_out_n: Ints
    """Told by all other cells."""
    folds_sn: Ints
    """Told by the cells of the other folds, for each seed."""

    def macro_f1(self, rows: Ints | None = None) -> float:
        """F1 averaged over types, then over seeds of the folds."""
        return self._over_seeds(_macro_f1, rows)

    def accuracy(self, rows: Ints | None = None) -> float:
        """Share of the cells that are labelled correctly, averaged over seeds of the folds."""
        return self._over_seeds(_accuracy, rows)

    def left_out_macro_f1(self, rows: Ints | None = None) -> float:
        """F1 averaged over types, each cell told by all others."""
        return _macro_f1(*_taken(self.truth_n, self.left_out_n, rows))

    def left_out_accuracy(self, rows: Ints | None = None) -> float:
        """Share of the cells that are labelled correctly by all others."""
        return _accuracy(*_taken(self.truth_n, self.left_out_n, rows))

    def _over_seeds(self, score: _Score, rows: Ints | None) -> float:
        found = [score(*_taken(self.truth_n, told_n, rows)) for told_n in self.folds_sn]
        return float(np.mean(found))


def tell_types(
    embedding: npt.ArrayLike,
    cell_types: npt.ArrayLike,
    *,
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    neighbours: int = NEIGHBOURS,
    folds: int = FOLDS,
) -> ToldTypes:
    """Tell the type of each cell by the vote of its nearest neighbours by cosine.

    A tie goes to the type of the nearest cell among those that tie.

    Args:
        embedding: ``(cells, numbers)``.
        cell_types: of the cells; each type has at least as many cells as there are folds.
        seeds: of the folds.
        neighbours: that vote.
        folds: that the cells are cut into, stratified by type.

    Raises:
        InputError: a value is not a finite number.
    """
    values, codes, _ = checked_embedding(embedding, cell_types)
    order_nn = _by_similarity(values)
    all_cells = np.ones(len(values), dtype=bool)
    left_out = _vote(order_nn, codes, all_cells, neighbours)
    told = np.empty((len(seeds), len(values)), dtype=np.int64)
    for row, seed in enumerate(seeds):
        cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
        for known, asked in cut.split(codes, codes):
            voters = np.zeros(len(values), dtype=bool)
            voters[known] = True
            told[row, asked] = _vote(order_nn[asked], codes, voters, neighbours)
    return ToldTypes(codes, left_out, told)


def _by_similarity(values: npt.NDArray[np.float64]) -> Ints:
    """The other cells of each cell, the most similar first; ``(n, n - 1)``."""
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    unit = (values / np.where(norms > 0, norms, 1)).astype(np.float32)
    similar = unit @ unit.T
    np.fill_diagonal(similar, np.inf)
    order = np.argsort(-similar, axis=1, kind="stable")
    return np.asarray(order[:, 1:], dtype=np.int64)


def _vote(order: Ints, codes: Ints, voters: npt.NDArray[np.bool_], neighbours: int) -> Ints:
    may = voters[order]
    chosen = may & (np.cumsum(may, axis=1) <= neighbours)
    types = int(codes.max()) + 1
    votes = np.zeros((len(order), types))
    rows, places = np.nonzero(chosen)
    np.add.at(votes, (rows, codes[order[rows, places]]), 1.0)
    # The nearest of a type adds less than a vote: it decides between equal votes alone.
    nearest = np.full((len(order), types), order.shape[1], dtype=np.float64)
    np.minimum.at(nearest, (rows, codes[order[rows, places]]), places.astype(np.float64))
    return np.asarray((votes - nearest / (2 * order.shape[1])).argmax(1), dtype=np.int64)


def _taken(truth: Ints, told: Ints, rows: Ints | None) -> tuple[Ints, Ints]:
    return (truth, told) if rows is None else (truth[rows], told[rows])


def _macro_f1(truth: Ints, told: Ints) -> float:
    """F1 averaged over the types in the truth; a bootstrap asks for it thousands of times."""
    kinds = int(max(truth.max(), told.max())) + 1
    right = np.bincount(truth[truth == told], minlength=kinds)
    there = np.bincount(truth, minlength=kinds)
    f1 = 2 * right / np.maximum(there + np.bincount(told, minlength=kinds), 1)
    return float(f1[there > 0].mean())


def _accuracy(truth: Ints, told: Ints) -> float:
    return float((truth == told).mean())
