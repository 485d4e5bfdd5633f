import numpy as np
import pytest
from scipy import sparse

from sclong_bench.demo.data import CELL_TYPE, load_cells
from sclong_bench.demo.harmonised import harmonised
from sclong_core.errors import InputError


def test_the_real_cells_pass_unchanged():
    cells = load_cells()
    found = harmonised(cells, keep=(CELL_TYPE,))
    assert found.read == 700
    assert found.recognised.startswith("holds log1p values")
    assert list(found.cells.obs_names) == list(cells.obs_names)
    assert list(found.cells.obs[CELL_TYPE]) == list(cells.obs[CELL_TYPE])
    assert (found.cells.X != cells.X).nnz == 0


def test_a_cell_that_is_there_twice_is_kept_once():
    cells = load_cells()[:50].copy()
    cells.X = sparse.csr_matrix(cells.X[[*range(49), 3]])
    found = harmonised(cells, keep=())
    assert found.cells.n_obs == 49
    assert list(found.cells.obs_names) == list(cells.obs_names[:49])


def test_what_is_neither_counts_nor_logarithms_is_refused():
    cells = load_cells()
    cells.X = sparse.csr_matrix(np.random.default_rng(0).random(cells.shape), dtype=np.float32)
    with pytest.raises(InputError, match="cannot be harmonised"):
        harmonised(cells, keep=())
