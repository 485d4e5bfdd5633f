"""Recognising raw counts, log1p values and what is neither."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sclong_core.expression import recognise
from sclong_core.expression.recognition import Evidence
from sclong_core.expression.rows import canonical
from sclong_core.expression.units import LOG1P, find_units
from sclong_core.testing import make_counts_anndata

COUNTS = make_counts_anndata(60, 80, seed=3).X.toarray().astype(np.float64)
SCALED = COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4
LOGGED = np.log1p(SCALED)
DEEP = np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(0.3, 60, (60, 1500)))
PROPORTIONS = 2 * DEEP / DEEP.sum(axis=1, keepdims=True)
IMPUTED = np.random.default_rng(0).gamma(2, size=(60, 80))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "float16", "float32", "float64"])
def test_whole_numbers_are_raw(dtype):
    assert recognise(COUNTS.astype(dtype)).normalisation == "raw"


def test_presence_is_not_counts_and_few_single_counts_are():
    found = recognise(COUNTS > 0)
    assert found.normalisation is None
    assert "as presence and absence do" in found.seen
    assert recognise(COUNTS[:1, :9] > 0).normalisation == "raw"


def test_whole_numbers_up_to_the_error_of_float_sums_are_raw():
    assert recognise(COUNTS.astype(np.float32) / 3 * 3 + COUNTS * 1e-7).normalisation == "raw"


@pytest.mark.parametrize("target", [10.0, 1e4, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log1p_of_counts_scaled_to_any_sum_is_log1p(target, dtype):
    logged = np.log1p(SCALED.astype(dtype) * np.dtype(dtype).type(target / 1e4))
    assert recognise(logged).normalisation == "log1p"


def test_log1p_of_counts_scaled_by_any_factors_is_log1p():
    factors = np.random.default_rng(0).uniform(0.1, 20, (60, 1))
    assert recognise(np.log1p(COUNTS * factors)).normalisation == "log1p"


@pytest.mark.parametrize("decimals", [3, 4, 5, 6])
def test_log1p_that_was_rounded_is_log1p(decimals):
    assert recognise(np.round(LOGGED, decimals)).normalisation == "log1p"


def test_log1p_in_half_precision_is_log1p():
    assert recognise(np.log1p(SCALED / 40).astype(np.float16)).normalisation == "log1p"


@pytest.mark.parametrize("smallest", [2, 3, 4])
def test_log1p_is_recognised_where_no_gene_of_a_cell_has_a_single_count(smallest):
    counts = np.random.default_rng(0).integers(smallest, 40, size=(30, 50))
    counts[:, 0], counts[:, 1] = smallest, smallest + 1
    assert recognise(np.log1p(counts * 2.718)).normalisation == "log1p"


def test_log1p_of_a_subset_of_the_genes_is_log1p():
    assert recognise(LOGGED[:, ::4]).normalisation == "log1p"


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ((LOGGED - LOGGED.mean(0)) / LOGGED.std(0), "holds negative values.*centred gene by gene"),
        (LOGGED - IMPUTED, "holds negative values.*scaled, centred or corrected"),
        (SCALED, "scaled counts without the logarithm"),
        (PROPORTIONS, "too small to distinguish scaled counts from their log1p"),
        (np.log1p(PROPORTIONS), "too small to distinguish scaled counts from their log1p"),
        (COUNTS * 1e-6, "counts times 1e-06"),
        (
            np.where(np.arange(60)[:, None] < 45, LOGGED, IMPUTED),
            "neither counts nor log1p .* in 15 cells",
        ),
        (np.log2(1 + SCALED), r"log2\(1 \+ x\)"),
        (np.log10(1 + SCALED), r"log10\(1 \+ x\)"),
        (np.log1p(LOGGED), "log1p applied twice"),
        (np.sqrt(SCALED), "square roots"),
        (np.log1p(COUNTS), "not scaled to a common sum"),
        (COUNTS * 0.7 // 1 * 0 + 0.7, "a single value other than 0: 0.7"),
        (np.where(np.arange(60)[:, None] < 30, COUNTS, LOGGED), "mixes raw counts in 30 cells"),
        (np.where(np.arange(60)[:, None] == 7, COUNTS + 0.5, COUNTS), "fractions in cell '7'"),
        (np.full((3, 4), np.nan), "NaN"),
        (LOGGED[:1, :9].round(1), "too few or too coarse"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_neither_is_said(values, seen):
    found = recognise(values)
    assert found.normalisation is None
    assert re.search(seen, found.seen)


def test_what_the_file_says_is_believed_where_values_do_not_tell():
    coarse = LOGGED[:1, :9].round(1)
    assert recognise(coarse).normalisation is None
    assert recognise(coarse, logged=True).normalisation == "log1p"


def test_what_the_file_says_is_not_believed_of_values_that_no_scaled_count_gives():
    assert recognise(IMPUTED).normalisation is None
    assert recognise(IMPUTED, logged=True).normalisation is None


@pytest.mark.parametrize("values", [SCALED, np.log1p(LOGGED), np.log2(1 + SCALED), LOGGED - 1])
def test_what_the_file_says_is_not_believed_against_the_values(values):
    assert recognise(values, logged=True).normalisation is None


def test_counts_are_raw_whatever_the_file_says():
    assert recognise(COUNTS, logged=True).normalisation == "raw"


DISTRIBUTIONS = {
    "uniform": lambda g, shape: g.random(shape) * g.uniform(0.5, 12),
    "probabilities": lambda g, shape: g.dirichlet(np.full(shape[1], 0.3), size=shape[0]),
    "gamma": lambda g, shape: g.gamma(g.uniform(0.2, 4), g.uniform(0.1, 3), shape),
    "lognormal": lambda g, shape: np.minimum(g.lognormal(0, 1, shape), 15),
    "normal": lambda g, shape: np.abs(g.normal(g.uniform(0, 8), 1, shape)),
}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(DISTRIBUTIONS)),
    seed=st.integers(0, 2**32 - 1),
    cells=st.integers(1, 60),
    genes=st.integers(1, 60),
    decimals=st.sampled_from([None, None, 1, 2, 3, 4, 5]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    sparsity=st.sampled_from([0.0, 0.5, 0.9]),
)
def test_arbitrary_values_are_never_taken_for_log1p(
    kind, seed, cells, genes, decimals, dtype, sparsity
):
    generator = np.random.default_rng(seed)
    values = DISTRIBUTIONS[kind](generator, (cells, genes))
    values[generator.random(values.shape) < sparsity] = 0
    values = values if decimals is None else np.round(values, decimals)
    assert recognise(values.astype(dtype)).normalisation != "log1p"


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cells=st.integers(5, 40),
    genes=st.integers(40, 120),
    target=st.floats(100, 1e6),
    decimals=st.sampled_from([None, 3, 4]),
)
def test_log1p_of_counts_is_always_recognised(seed, cells, genes, target, decimals):
    counts = make_counts_anndata(cells, genes, seed=seed).X.toarray().astype(np.float64)
    logged = np.log1p(counts / counts.sum(axis=1, keepdims=True) * target)
    logged = logged if decimals is None else np.round(logged, decimals)
    assert recognise(logged).normalisation == "log1p"


def test_evidence_does_not_depend_on_blocks():
    whole, parts = Evidence(), Evidence()
    names = [str(number) for number in range(60)]
    whole.add(canonical(LOGGED), names)
    for start in range(0, 60, 7):
        parts.add(canonical(LOGGED[start : start + 7]), names[start : start + 7])
    assert whole.decide() == parts.decide()
    assert whole.target_sum() == parts.target_sum() == (pytest.approx(1e4), True)


def test_the_unit_of_a_cell_is_the_value_of_one_count():
    counts = np.array([[1, 2, 3, 5, 0], [2, 3, 4, 9, 7], [0, 0, 0, 0, 0], [4, 6, 7, 9, 11.0]])
    units = find_units(canonical(np.log1p(counts * 1.7)), LOG1P)
    np.testing.assert_allclose(units.unit, [1.7, 1.7, np.nan, 1.7], rtol=1e-6)
    assert not units.failed.any()
    assert (units.bits > 0).tolist() == [True, True, False, True]
