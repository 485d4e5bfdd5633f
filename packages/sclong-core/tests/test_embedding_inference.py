"""Embeddings that are all alike are refused."""

import numpy as np
import pytest

from sclong_core.embedding.inference import refuse_alike
from sclong_core.errors import InputError

VECTOR = np.random.default_rng(0).normal(size=(1, 8)).astype(np.float32)


@pytest.mark.parametrize("noise", [0, 1e-7])
def test_vectors_that_differ_by_rounding_alone_are_refused(noise):
    values = (VECTOR + noise * np.random.default_rng(1).normal(size=(9, 8))).astype(np.float32)
    with pytest.raises(
        InputError, match=r"cells.h5ad: .*all 9 cells are alike.*--allow-poor-match"
    ):
        refuse_alike("cells.h5ad", [values[:4], values[4:]])


def test_vectors_that_differ_and_those_of_two_cells_pass():
    refuse_alike("cells", [np.repeat(VECTOR, 2, axis=0)])
    refuse_alike("cells", [np.repeat(VECTOR, 5, axis=0), VECTOR + 1e-4])
    refuse_alike("cells", [])
