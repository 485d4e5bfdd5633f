"""Whole numbers that are not counts are refused; counts of any depth are not."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sclong_core.expression import open_cells, recognise
from sclong_core.expression.rows import canonical
from tests.support.places import shared_folder

REAL = [
    "cells/pbmc3k_10x.h5ad", "cells/lung_tumour_dc_rogue.h5ad", "cells/skin_ctcl_scillus.h5ad",
    "cells/embryo_yan_feast.h5ad", "cells/pbmc_kang_scgen_valid.h5ad",
    "cells/pbmc_sorted_zheng_garnett.h5ad", "pbmc/pbmc68k_reduced.h5ad",
    "perturbation/papalexi_lowmoi_subset.h5ad", "batch_integration/sc_mixology_celllines.h5ad",
]  # fmt: skip


def counts(cells=60, genes=800, depth=3000.0, seed=0):
    """Poisson counts of cells that are all alike: as even as counts can be."""
    drawn = np.random.default_rng(seed)
    level = drawn.gamma(0.3, size=genes) + 1e-6
    found = drawn.poisson(level / level.sum() * depth, size=(cells, genes)).astype(float)
    found[np.arange(cells), np.arange(cells) % genes] += 1  # no cell is empty
    return found


def logged(values, target=1e4):
    return np.log1p(values / values.sum(1, keepdims=True) * target)


def bins(values, n=51, *, ties_drawn=True, seed=0):
    """Bins of about equal size within each cell, as scGPT makes them."""
    drawn = np.random.default_rng(seed)
    found = np.zeros(values.shape)
    for row, cell in enumerate(values):
        held = cell[cell > 0]
        edges = np.quantile(held, np.linspace(0, 1, n - 1))
        high, low = np.digitize(held, edges), np.digitize(held, edges, right=True)
        share = drawn.random(held.size) if ties_drawn else 1.0
        found[row, cell > 0] = np.maximum(np.ceil(share * (high - low) + low), 1)
        found[row, np.argmax(cell)] = n - 1
    return found


@pytest.mark.parametrize("n", [8, 51])
@pytest.mark.parametrize("ties_drawn", [True, False])
@pytest.mark.parametrize("cells", [3, 60])
def test_bins_are_refused(n, ties_drawn, cells):
    values = bins(logged(counts(cells)), n, ties_drawn=ties_drawn)
    for note in (False, True):
        found = recognise(values, logged=note)
        assert found.normalisation is None
        assert f"bins (whole numbers of which the highest is {n - 1} " in found.seen.replace(
            "bins or rounded logarithms", "bins"
        )


@pytest.mark.parametrize("n", [3, 4, 6])
def test_few_bins_are_refused_of_many_cells(n):
    assert recognise(bins(logged(counts(100)), n)).normalisation is None


@pytest.mark.parametrize("rounding", [np.rint, np.ceil, np.floor])
@pytest.mark.parametrize("depth", [1500, 30_000])
@pytest.mark.parametrize("logarithm", [np.log1p, lambda x: np.log2(1 + x), np.sqrt])
def test_rounded_logarithms_are_refused(rounding, depth, logarithm):
    values = counts(depth=depth)
    values = rounding(logarithm(values / values.sum(1, keepdims=True) * 1e4))
    found = recognise(values[values.sum(1) > 0])
    assert found.normalisation is None
    assert re.search("vary less from cell to cell|without a single 1|bins", found.seen)


@pytest.mark.parametrize("shape", [(40, 500), (128, 2000)])
def test_logarithms_of_counts_that_were_rounded_are_refused(shape):
    assert recognise(np.rint(np.log1p(counts(*shape, depth=8000)))).normalisation is None


@pytest.mark.parametrize("dtype", [bool, np.int32, np.float32])
@pytest.mark.parametrize("shape", [(1, 800), (60, 800), (60, 90)])
def test_presence_is_refused(dtype, shape):
    found = recognise((counts(*shape) > 0).astype(dtype))
    assert found.normalisation is None
    assert "the value 1 alone where counts would hold" in found.seen


def test_presence_with_a_few_other_values_is_refused():
    values = np.minimum(counts(), 1)
    values[0, :5] = 2
    found = recognise(values)
    assert found.normalisation is None
    assert re.search(r"^holds \d values above 1 where counts would hold \d+", found.seen)


def test_counts_too_few_to_repeat_are_raw():
    single = np.eye(40, 800) + np.eye(40, 800, 3)
    assert recognise(single).normalisation == "raw"


@pytest.mark.parametrize("rounding", [np.ceil, np.rint, np.floor])
@pytest.mark.parametrize("steps", [20, 50, 100, 200])
def test_parts_of_the_highest_logarithm_are_refused(rounding, steps):
    values = logged(counts())
    of_cell = rounding(values / values.max(1, keepdims=True) * steps)
    of_all = rounding(values / values.max() * steps)
    for found in map(recognise, (of_cell, of_all)):
        assert found.normalisation is None
        assert re.search("highest is|without a single 1|vary less", found.seen)


def test_values_that_were_cut_off_are_refused():
    found = recognise(np.minimum(counts(depth=40_000), 30))
    assert found.normalisation is None
    assert "highest is 30 in every cell" in found.seen


@pytest.mark.parametrize("rounding", [np.rint, np.floor, np.ceil])
@pytest.mark.parametrize(("depth", "target"), [(3e3, 1e4), (2e5, 1e4), (5e4, 1e6)])
def test_scaled_counts_that_were_rounded_are_refused(rounding, depth, target):
    size = np.random.default_rng(1).uniform(0.5, 2, (60, 1))
    values = np.random.default_rng(0).poisson(counts(genes=2000, depth=depth) * size)
    found = recognise(rounding(values / values.sum(1, keepdims=True) * target))
    assert found.normalisation is None
    assert re.search("scaled counts|vary less|highest is", found.seen)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cells=st.integers(1, 140),
    genes=st.integers(5, 1500),
    depth=st.floats(5, 50_000),
)
def test_counts_of_any_depth_are_raw(seed, cells, genes, depth):
    """Poisson counts of equal cells vary least of all: real ones do more."""
    assert recognise(counts(cells, genes, depth, seed)).normalisation == "raw"


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cells=st.integers(3, 140), depth=st.integers(20, 5000))
def test_counts_drawn_to_one_depth_are_raw(seed, cells, depth):
    drawn = np.random.default_rng(seed)
    level = drawn.dirichlet(np.full(400, 0.3))
    assert recognise(drawn.multinomial(depth, level, size=cells)).normalisation == "raw"


def test_counts_of_few_cells_or_few_genes_are_not_judged_by_their_spread():
    even = np.random.default_rng(0).integers(1, 4, size=(60, 8))
    assert recognise(even).normalisation == "raw"
    assert recognise(np.tile(even[:8], (1, 10))).normalisation == "raw"


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("share", [1.0, 0.05])
def test_real_counts_are_raw_at_any_depth_and_their_bins_are_not(name, share):
    folder = shared_folder("data")
    if folder is None or not (folder / name).is_file():
        pytest.skip(f"{name} is not among the shared files beside this checkout")
    with open_cells(folder / name) as source:
        rows = canonical(source.read_rows(0, min(150, source.n_cells)))
    rows.data = np.random.default_rng(0).binomial(rows.data.astype(np.int64), share).astype(float)
    rows.eliminate_zeros()
    rows = rows[np.diff(rows.indptr) > 0]
    assert recognise(rows).normalisation == "raw"
    if share == 1:
        values = logged(rows.toarray())
        assert recognise(bins(values)).normalisation is None
        rounded = np.rint(values)  # of the deepest cells most are 0 and 1
        assert rounded.max() <= 1 or recognise(rounded).normalisation is None
