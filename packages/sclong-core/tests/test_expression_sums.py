"""What cells sum to tells log1p of scaled values from other transforms, whatever a note says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sclong_core.expression import recognise
from sclong_core.expression.rows import canonical
from sclong_core.expression.sums import CellSums, is_common

CELLS, GENES = 60, 200


def counts(seed=0, cells=CELLS, genes=GENES):
    drawn = np.random.default_rng(seed)
    level = drawn.gamma(0.6, size=genes) + 0.05
    return drawn.poisson(level * drawn.uniform(1, 5, size=(cells, 1))).astype(np.float64)


RAW = counts()
RANDOM = np.random.default_rng(5)
FREQUENCIES = RAW / RAW.sum(1, keepdims=True)
SMOOTH = 0.7 * FREQUENCIES + 0.3 * FREQUENCIES.mean(0)
LOGGED = np.log1p(FREQUENCIES * 1e4)
BY_LENGTH = RAW / RANDOM.lognormal(size=GENES)
TPM = BY_LENGTH / BY_LENGTH.sum(1, keepdims=True) * 1e6
SOUP = np.maximum(RAW - RANDOM.uniform(0, 0.4, RAW.shape), 0)
SCALED = LOGGED / (LOGGED.std(0) + 1e-6)
EXPRESSED_IN = (RAW > 0).sum(0)
OTHERS = {
    "frequencies of scVI": (SMOOTH, "sums to 1;"),
    "frequencies of scVI over some genes": (SMOOTH[:, ::2], "neither counts nor log1p"),
    "scaled counts of scVI, cut at 19.9": (np.minimum(SMOOTH * 2000, 19.9), "neither counts"),
    "scaled by gene": (SCALED, "log values multiplied by a weight of each gene"),
    "scaled by gene, cut at 10": (np.minimum(SCALED, 10), "zero_center=False"),
    "z-scores above zero": (np.clip((LOGGED - LOGGED.mean(0)) / LOGGED.std(0), 0, 10), "neither"),
    "ranks from 0 to 1": (np.argsort(np.argsort(LOGGED, 1), 1) / GENES, "ranks"),
    "ranks": (np.argsort(np.argsort(LOGGED, 1), 1), "ranks"),
    "TF-IDF": (FREQUENCIES * np.log1p(CELLS / (1 + EXPRESSED_IN)), "looks like counts multiplied"),
    "log1p of TF-IDF": (np.log1p(FREQUENCIES * 1e4 * CELLS / (1 + EXPRESSED_IN)), "as in TF-IDF"),
    "TF-IDF of logarithms": (LOGGED * np.log1p(CELLS / (1 + EXPRESSED_IN)), "TF-IDF of logarithms"),
    "cells of length 1": (LOGGED / np.linalg.norm(LOGGED, axis=1, keepdims=True), "L2 normal"),
    "counts of decontX": (np.minimum(RAW * RANDOM.uniform(0.7, 1, RAW.shape), 19), "neither"),
    "counts of SoupX": (SOUP, "treated as raw on request"),
    "square roots": (np.sqrt(SMOOTH * 1e4) / 10, "square roots"),
    "CPM": (FREQUENCIES * 1e6, "without the logarithm"),
    "TPM": (TPM, "sums to 1e+06"),
    "log2 of TPM": (np.log2(TPM + 1), "log2"),
    "log10 of TPM": (np.log10(TPM + 1), "log10"),
    "asinh of CPM": (np.arcsinh(FREQUENCIES * 1e4), "sinh"),
    "halves of counts": (RAW / 2, "counts times 0.5"),
    "tenths of counts": (RAW * 0.1, "counts times 0.1"),
    "log1p of counts that were not scaled": (np.log1p(RAW), "not scaled to a common sum"),
    "log1p twice": (np.log1p(LOGGED), "twice"),
    "log1p corrected by gene": (LOGGED * RANDOM.uniform(0.8, 1.2, GENES), "weight of each gene"),
}


@pytest.mark.parametrize("noted", [False, True], ids=["bare", "noted as log1p"])
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_log1p_is_refused_with_and_without_a_note(kind, noted):
    values, words = OTHERS[kind]
    found = recognise(values.astype(np.float32), logged=noted)
    assert found.normalisation is None
    assert words in found.seen


@pytest.mark.parametrize(
    "values",
    [np.log1p(TPM), np.log1p(SOUP / SOUP.sum(1, keepdims=True) * 1e4), np.log1p(SMOOTH * 1e4)],
    ids=["TPM", "counts of SoupX", "frequencies of scVI"],
)
def test_log1p_of_any_values_scaled_to_one_sum_is_log1p_without_a_note(values):
    found = recognise(values.astype(np.float32))
    assert found.normalisation == "log1p"
    assert "expm1 of each cell sums to 1" in found.seen


@given(
    seed=st.integers(0, 10_000),
    target=st.floats(300, 3e6),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=25, deadline=None)
def test_log1p_of_counts_and_of_fractions_is_log1p_at_any_sum(seed, target, dtype):
    raw = counts(seed, cells=20) + np.eye(20, GENES)
    fractions = raw * np.random.default_rng(seed).uniform(0.6, 1, raw.shape)
    for values in (raw, fractions):
        scaled = values / values.sum(1, keepdims=True) * target
        assert recognise(np.log1p(scaled).astype(dtype)).normalisation == "log1p"
        assert recognise(scaled.astype(dtype), logged=True).normalisation is None
        assert recognise(np.sqrt(scaled).astype(dtype), logged=True).normalisation is None


def test_values_that_a_note_alone_decides_are_log1p():
    few = np.log1p(np.array([[1.0, 0, 0], [0, 1, 0]]) * 500)
    assert recognise(few, logged=True).normalisation == "log1p"
    assert recognise(few).normalisation is None


def test_sums_of_few_cells_count_where_they_are_a_power_of_ten():
    for cells, round_sum, known in ((1, 1e4, True), (1, 12_345.0, False), (2, 1e6, True)):
        sums = CellSums()

        sums.add(canonical(np.log1p(TPM[:cells] / 1e6 * round_sum)))
        assert (sums.logged_to() is not None) is known


def test_one_sum_is_not_common():
    assert not is_common(np.array([5.0]))
    assert is_common(np.array([5.0, 5.0]))


@pytest.mark.parametrize("smallest", [1e-3, 1e-7, 1e-30])
def test_a_tiny_value_makes_no_multiples_of_others(smallest):
    tpm = TPM.copy()
    tpm[3, 5] = smallest
    assert recognise(np.log1p(tpm)).normalisation == "log1p"
    assert "counts times" not in recognise(tpm / RANDOM.uniform(0.5, 2, (CELLS, 1))).seen
