"""The space that cells are compared in: their vectors, and what tells labels apart in them.

A vector has two halves, each of length 1 before both are scaled by the root of one half, so that
the cosine of two cells is the mean of two cosines. One half is the cell's own vector around a
centre. The other is its place along the axes of a linear discriminant analysis of the reference:
directions in which labels differ most for the spread within them, every label counting the same,
and the covariance within labels shrunk by the rule of Ledoit and Wolf (2004). The first half keeps
what labels of the reference do not differ in, where cells of other types may lie.

Fewer than four labels span too few axes for angles to mean much; then the first half is all.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from sklearn.covariance import ledoit_wolf

from sclong_core.errors import InputError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
LEAST_LABELS = 4
"""That have axes."""
LEAST_CELLS = 5
"""Of a label; rarer ones shape no axes."""


@dataclass(frozen=True, eq=False)
class Space:
    """Where vectors are compared.

    Args:
        centre: ``(width,)`` float32, which vectors are taken around.
        axes: ``(width, axes)`` float32; no columns where there are too few labels.
    """

    centre: Floats
    axes: Floats

    def place(
        self, vectors: npt.ArrayLike, what: str, *, around: npt.ArrayLike | None = None
    ) -> Floats:
        """Vectors as directions: ``(cells, width + axes)`` float32 of length 1.

        Args:
            vectors: ``(cells, width)``.
            what: they are of, for the message.
            around: the centre of these cells; that of the space where it is None.

        Raises:
            InputError: they are not as wide as the space, not finite, or all alike.
        """
        values = checked_vectors(vectors, what)
        if values.shape[1] != len(self.centre):
            raise InputError(
                f"vectors of {what} have {values.shape[1]} numbers, those of the reference "
                f"{len(self.centre)}: both must be made by one model in one way"
            )
        centred = values - np.asarray(self.centre if around is None else around, dtype=np.float32)
        if not centred.any():
            raise InputError(f"the vectors of {what} are all alike: nothing can be told from them")
        if not self.axes.shape[1]:
            return _directions(centred)
        parts = [_directions(centred), _directions(centred @ self.axes)]
        return np.asarray(np.hstack(parts) * np.float32(np.sqrt(0.5)), dtype=np.float32)


def fit_space(vectors: Floats, codes: Codes) -> Space:
    """The space of labelled cells.

    Args:
        vectors: ``(cells, width)``.
        codes: ``(cells,)`` labels by number.
    """
    centre = vectors.mean(0, dtype=np.float64)
    counts = np.bincount(codes)
    common = np.flatnonzero(counts >= LEAST_CELLS)
    axes = np.zeros((vectors.shape[1], 0))
    if len(common) >= LEAST_LABELS:
        kept = np.isin(codes, common)
        axes = _axes(vectors[kept] - centre, np.searchsorted(common, codes[kept]))
    return Space(centre.astype(np.float32), axes.astype(np.float32))


def _axes(values: Doubles, codes: Codes) -> Doubles:
    """``(width, axes)`` in which labels differ most, for a spread within labels of 1."""
    counts = np.bincount(codes)
    means = np.stack([values[codes == code].mean(0) for code in range(len(counts))])
    # Weighted so that labels count the same, and the sum of all weights is that of the cells.
    weights = np.sqrt(len(codes) / (len(counts) * counts[codes]))
    within = (values - means[codes]) * weights[:, None]
    spread = within.std(0)
    spread[spread < 1e-6 * max(float(spread.max()), 1e-30)] = np.inf  # a constant tells nothing
    covariance, _ = ledoit_wolf(within / spread, assume_centered=True)
    covariance[np.diag_indices_from(covariance)] += 1e-6
    between = (means - means.mean(0)) / spread
    _, directions = eigh(between.T @ between, covariance)
    count = min(len(counts) - 1, values.shape[1])
    return np.asarray(directions[:, ::-1][:, :count] / spread[:, None], dtype=np.float64)


def checked_vectors(vectors: npt.ArrayLike, what: str) -> Floats:
    """Vectors as a table.

    Raises:
        InputError: they are not a table of finite numbers.
    """
    values = np.asarray(vectors, dtype=np.float32)
    if values.ndim != 2 or not values.size:
        raise InputError(f"the vectors of {what} are not a table of cells by numbers")
    if not np.isfinite(values).all():
        raise InputError(f"the vectors of {what} hold numbers that are not finite")
    return values


def _directions(values: Floats) -> Floats:
    lengths = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, 1e-12), dtype=np.float32)
