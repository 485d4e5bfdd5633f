"""Held to NumPy's own seed sequence and generator, bit for bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sclong_core.pretraining.seeds import Draws, philox_keys

LARGE = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))


@given(shared=st.lists(LARGE, max_size=4), cells=st.lists(LARGE, min_size=1, max_size=9))
def test_keys_and_draws_are_those_of_numpy(shared, cells):
    keys = philox_keys(shared, np.array(cells, dtype=np.uint64))
    draws = Draws(keys)
    for row, cell in enumerate(cells):
        philox = np.random.Philox(np.random.SeedSequence((*shared, cell)))
        assert np.array_equal(keys[row], philox.state["state"]["key"])
        expected = np.random.Generator(philox).random(7)
        assert np.array_equal(draws.of(row, 7), expected)
