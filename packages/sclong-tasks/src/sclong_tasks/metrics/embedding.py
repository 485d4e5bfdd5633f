"""An embedding and the labels of its cells, checked."""

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError

Floats = npt.NDArray[np.float64]


def checked_embedding(
    embedding: npt.ArrayLike, labels: npt.ArrayLike
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """Values as numbers, the code of each cell's label, and the labels in order.

    Raises:
        InputError: it is not a table, lacks rows for labels or cells, or a value is not a number.
    """
    values, names = np.asarray(embedding, dtype=np.float64), np.asarray(labels).astype(str)
    if values.ndim != 2 or names.ndim != 1 or len(values) != len(names) or not values.size:
        raise InputError(
            f"an embedding {values.shape} does not fit {names.shape} labels: give one row of "
            "numbers a cell"
        )
    wrong = np.flatnonzero(~np.isfinite(values).all(1))
    if len(wrong):
        raise InputError(
            f"{len(wrong)} cells have NaN or infinite values in the embedding: row {wrong[0]} is "
            "the first"
        )
    kinds, codes = np.unique(names, return_inverse=True)
    return values, codes.astype(np.int64), kinds


def is_constant(values: Floats) -> bool:
    """Whether all cells have the same place: then no cell has neighbours or a cluster."""
    return bool((values == values[0]).all())
