"""Near-duplicates: the same cells in other clothes."""

import numpy as np
from scipy import sparse

from sclong_data.corpus.near_duplicates import MeasuredCells, near_duplicates, shared_cells

GENES = 2000


def cells(count, *, seed):
    draw = np.random.default_rng(seed)
    rates = np.random.default_rng(0).gamma(0.3, size=GENES)
    return draw.poisson(rates, size=(count, GENES)).astype(np.float32)


def of(values, measured=None):
    measured = np.ones(GENES, dtype=bool) if measured is None else measured
    return MeasuredCells(sparse.csr_array(values * measured), measured)


def test_cells_of_one_tissue_are_not_duplicates_of_each_other():
    assert shared_cells(of(cells(150, seed=1)), of(cells(150, seed=2))) == 0


def test_copies_are_found_whatever_their_scale():
    first, second = cells(80, seed=1), cells(60, seed=2)
    second[:25] = np.log1p(first[10:35] * 7.3)
    assert shared_cells(of(first), of(second)) == 25
    assert near_duplicates({"b": of(second), "a": of(first)}) == {("a", "b"): 25}


def test_copies_are_found_where_genes_were_filtered():
    first, second = cells(80, seed=1), cells(60, seed=2)
    second[:25] = first[10:35]
    kept = np.random.default_rng(3).random(GENES) < 0.6
    assert shared_cells(of(first), of(second, kept)) == 25
    assert shared_cells(of(second, kept), of(first)) == 25


def test_copies_are_found_where_a_few_genes_differ():
    first, second = cells(40, seed=1), cells(40, seed=2)
    second[:10] = first[:10]
    draw = np.random.default_rng(4)
    for row in second[:10]:
        row[draw.choice(GENES, 12, replace=False)] += 1
    assert shared_cells(of(first), of(second)) >= 8


def test_data_sets_without_a_common_gene_or_cell_share_nothing():
    half = np.arange(GENES) < GENES // 2
    values = cells(20, seed=1)
    assert shared_cells(of(values, half), of(values, ~half)) == 0
    assert shared_cells(of(values[:0]), of(values)) == 0
    assert shared_cells(of(np.zeros_like(values)), of(values)) == 0
    assert near_duplicates({"only": of(values)}) == {}
