"""Embeddings that are all alike, which say nothing of their cells."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError

_FEWEST = 3
_ALIKE = 1e-6


def refuse_alike(name: str, blocks: Iterable[npt.NDArray[np.float32]]) -> None:
    """Refuse embeddings of three cells or more that differ by nothing but rounding.

    Args:
        name: the file or object, for the message.
        blocks: embeddings of some cells each, ``(cells, width)``.

    Raises:
        InputError: all vectors are alike.
    """
    cells, low, high = 0, np.array(np.inf), np.array(-np.inf)
    for values in blocks:
        if len(values):
            cells += len(values)
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
    if cells < _FEWEST:
        return
    if np.max(high - low) <= _ALIKE * np.max(np.abs([low, high])):
        raise InputError(
            f"{name}: the embeddings of all {cells:,} cells are alike: the model sees no "
            "difference between them; check --gene-column and --matrix, or pass "
            "allow_poor_match=True (--allow-poor-match)"
        )
