"""Checking values, and turning counts into what the model takes."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sclong_core.config import InputConfig
from sclong_core.errors import InputError
from sclong_core.expression import check_values, match_genes, normalise
from sclong_core.expression.normalisation import exact_counts
from sclong_core.expression.rows import canonical
from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

GENES = 12
VOCABULARY = GeneVocabulary.from_ids(reversed(synthetic_gene_ids(GENES)))
NAMES = synthetic_gene_ids(GENES)
PLAIN = InputConfig()


def match(names=NAMES, duplicates="error"):
    return match_genes(pd.DataFrame(index=list(names)), VOCABULARY, duplicates=duplicates)


@pytest.fixture
def counts():
    return make_counts_anndata(15, GENES).X.toarray()


def test_counts_are_scaled_by_the_total_of_the_cell_then_logged(counts):
    found = normalise(counts, "raw", PLAIN, match())
    total = counts.sum(axis=1, keepdims=True, dtype=np.float64)
    expected = np.log1p(counts / total * 10_000)[:, ::-1]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_the_total_is_over_all_genes_of_the_data(counts):
    names = [*NAMES[:5], *(f"unknown{n}" for n in range(GENES - 5))]
    found = normalise(counts, "raw", PLAIN, match(names))
    whole = normalise(counts, "raw", PLAIN, match())
    np.testing.assert_array_equal(found[:, -5:], whole[:, -5:])
    assert not found[:, :-5].any()


def test_sums_of_small_integers_do_not_overflow():
    counts = np.full((2, GENES), 100)
    found = normalise(counts.astype(np.int8), "raw", PLAIN, match())
    np.testing.assert_allclose(found, np.log1p(10_000 / GENES), rtol=1e-6)
    np.testing.assert_array_equal(
        found, normalise((counts * 2).astype(np.uint8), "raw", PLAIN, match())
    )


def test_repeated_entries_of_a_sparse_matrix_are_one_count():
    parts = np.array([100, 100, 50], dtype=np.int8), np.array([0, 0, 1]), np.array([0, 3])
    repeated = sparse.csr_matrix(parts, shape=(1, GENES))
    plain = np.array([[200, 50, *[0] * (GENES - 2)]])
    np.testing.assert_array_equal(
        normalise(repeated, "raw", PLAIN, match()), normalise(plain, "raw", PLAIN, match())
    )


def test_the_rounding_error_of_stored_counts_is_removed(counts):
    inexact = counts.astype(np.float64) * (1 + 1e-7)
    np.testing.assert_array_equal(
        exact_counts(canonical(inexact))[0].toarray(), counts.astype(np.float64)
    )


def test_the_target_sum_is_that_of_the_model(counts):
    found = normalise(counts, "raw", InputConfig(target_sum=500.0), match())
    np.testing.assert_allclose(np.expm1(found.astype(np.float64)).sum(axis=1), 500, rtol=1e-5)


def test_log1p_values_are_left_as_they_are(counts):
    logged = np.log1p(counts * np.float32(3.3))
    np.testing.assert_array_equal(normalise(logged, "log1p", PLAIN, match()), logged[:, ::-1])


@pytest.mark.parametrize("scale", [0.5, 5.0])
def test_cells_are_brought_to_the_maximum(scale):
    logged = np.array([[1.0, 2.0, 4.0, *[0.0] * (GENES - 3)]]) * scale
    found = normalise(logged, "log1p", InputConfig(maximum=10.0), match())[0, ::-1]
    expected = [2.5, 5.0, 10.0] if scale < 1 else [5.0, 10.0, 10.0]
    np.testing.assert_array_equal(found[:3], np.float32(expected))
    assert not found[3:].any()


def test_the_maximum_is_that_of_the_genes_of_the_vocabulary():
    logged = np.array([[1.0, 2.0, 8.0]])
    found = normalise(logged, "log1p", InputConfig(maximum=10.0), match([*NAMES[:2], "unknown"]))
    np.testing.assert_array_equal(found[0, -2:], [10.0, 5.0])


def test_a_cell_without_any_matched_count_stays_zero():
    found = normalise(np.array([[0, 3]]), "raw", InputConfig(maximum=10.0), match([NAMES[0], "x"]))
    assert not found.any()


def test_counts_of_repeated_genes_are_summed_before_the_logarithm():
    summed = normalise(np.array([[3, 4, 5]]), "raw", PLAIN, match(NAMES[:3]))
    names = [NAMES[0], f"{NAMES[0]}.3", NAMES[1], NAMES[2]]
    found = normalise(np.array([[1, 2, 4, 5]]), "raw", PLAIN, match(names, duplicates="sum"))
    np.testing.assert_array_equal(found, summed)


def test_fractions_taken_as_counts_do_not_depend_on_the_order_of_genes():
    counts = np.random.default_rng(0).lognormal(0, 3, size=(5, 2000))
    _, totals = exact_counts(canonical(counts))
    _, reversed_totals = exact_counts(canonical(counts[:, ::-1]))
    np.testing.assert_array_equal(totals, reversed_totals)
    assert totals.tolist() == [math.fsum(row) for row in counts]


CELL_NAMES = ["first", "second", "third"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "holds NaN in cell 'second', gene 'ENSG00000000004'"),
        (np.inf, "holds an infinite value in cell 'second', gene 'ENSG00000000004'"),
        (-1.5, r"negative values \(first -1.5 in cell 'second', gene 'ENSG00000000004'\)"),
        (1e30, r"too large for a count \(1e\+30\) in cell 'second', gene 'ENSG00000000004'"),
        (2.0**31 + 512, r"too large for a count \(2.147e\+09\) in cell 'second'"),
    ],
)
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_impossible_values_are_refused_with_their_cell_and_gene(value, message, layout):
    values = np.ones((3, GENES))
    values[1, 3] = value
    with pytest.raises(InputError, match=message):
        check_values(layout(values), CELL_NAMES, NAMES, where="cells.h5ad: X")


def test_empty_cells_are_refused_with_their_number_and_the_first():
    values = np.ones((3, GENES))
    values[1:] = 0
    with pytest.raises(InputError, match=r"2 of its cells \(the first is 'second'\).*filter_cells"):
        check_values(values, CELL_NAMES, NAMES)


def test_good_values_pass():
    check_values(np.eye(3, GENES, dtype=np.int8), CELL_NAMES, NAMES)
    check_values(np.eye(3, GENES) * 2.0**31, CELL_NAMES, NAMES)


def test_counts_of_copies_on_chromosome_y_are_those_of_their_gene(counts):
    names = [f"{name}.{n + 1}" for n, name in enumerate(NAMES)]
    copies = [f"{names[0]}_PAR_Y", f"ENSGR{NAMES[1].removeprefix('ENSG0')}.2"]
    extra = np.floor(counts[:, :2] / 2)
    split = np.hstack([counts, extra])
    split[:, :2] -= extra
    whole = match(names)
    found = match([*names, *copies])
    assert found.repeated
    np.testing.assert_array_equal(
        normalise(split, "raw", PLAIN, found), normalise(counts, "raw", PLAIN, whole)
    )
    totals = counts.sum(1, keepdims=True)
    logged, logged_split = np.log1p(counts / totals * 1e4), np.log1p(split / totals * 1e4)
    np.testing.assert_allclose(
        normalise(logged_split, "log1p", PLAIN, found),
        normalise(logged, "log1p", PLAIN, whole),
        atol=1e-6,
    )
    with pytest.raises(InputError, match="occur more than once"):
        match([*names, *copies, NAMES[3]])
