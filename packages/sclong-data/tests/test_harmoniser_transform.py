import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from sclong_core.config import InputConfig
from sclong_core.expression import GeneMatch, normalise, recognise
from sclong_data.harmoniser.rules import HarmoniseRules
from sclong_data.harmoniser.transform import harmonise_block

GENES = 12


def match(positions, vocabulary=GENES, columns=None):
    positions = np.array(positions)
    columns = np.arange(positions.size) if columns is None else np.array(columns)
    return GeneMatch(columns, positions, (), (), "", "id", vocabulary)


counts = arrays.arrays(np.int64, (5, GENES), elements=st.integers(0, 60))
orders = st.permutations(list(range(GENES)))


@given(counts, orders, st.sampled_from([None, 10.0, 3.0]), st.booleans())
def test_values_are_to_the_bit_those_that_a_model_embeds(values, order, maximum, repeated):
    positions = [position // 2 if repeated else position for position in order]
    rules = HarmoniseRules(maximum=maximum)
    found = harmonise_block(sparse.csr_matrix(values), "raw", match(positions), rules)
    expected = normalise(values, "raw", InputConfig(maximum=maximum), match(positions))
    np.testing.assert_array_equal(found.expression.toarray(), expected)


@given(counts, orders)
def test_values_do_not_depend_on_the_order_of_genes_or_the_layout(values, order):
    rules = HarmoniseRules()
    one = harmonise_block(values, "raw", match(range(GENES)), rules).expression
    inverse = np.argsort(order)
    shuffled = sparse.csc_matrix(values[:, inverse].astype(np.float32))
    other = harmonise_block(shuffled, "raw", match(inverse), rules).expression
    np.testing.assert_array_equal(one.toarray(), other.toarray())
    np.testing.assert_array_equal(one.indices, other.indices)


@given(counts, st.integers(2, 50))
def test_whole_multiples_of_a_cell_give_its_values(values, factor):
    rules = HarmoniseRules()
    one = harmonise_block(values, "raw", match(range(GENES)), rules).expression.toarray()
    other = harmonise_block(values * factor, "raw", match(range(GENES)), rules).expression
    np.testing.assert_allclose(other.toarray(), one, rtol=1e-6)


def expression(seed, cells=40, genes=200):
    generator = np.random.default_rng(seed)
    depth = generator.uniform(0.5, 3, (cells, 1))
    return generator.poisson(depth * generator.gamma(0.5, size=genes))


@settings(max_examples=30)
@given(
    st.integers(0, 10_000),
    arrays.arrays(np.float64, 40, elements=st.floats(0.05, 500)),
    st.sampled_from([np.float32, np.float64]),
)
def test_raw_counts_times_any_factor_a_cell_are_recognised_once_logged(seed, factors, dtype):
    raw = expression(seed)
    assert recognise(raw).normalisation == "raw"
    logged = np.log1p(raw * factors[:, None]).astype(dtype)
    assume(not np.allclose(factors, np.rint(factors)))  # those would be counts not scaled at all
    assert recognise(logged).normalisation == "log1p"


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([1e3, 1e4, 1e5]))
def test_logged_counts_brought_to_the_target_are_what_raw_ones_become(seed, target):
    raw = expression(seed)
    raw[:, 0] += 1
    whole = match(range(200), vocabulary=200)
    logged = np.log1p(raw / raw.sum(axis=1, keepdims=True) * target)
    rules = HarmoniseRules(other_sums="rescale")
    found = harmonise_block(logged, "log1p", whole, rules, to_target=True).expression
    expected = harmonise_block(raw, "raw", whole, rules).expression
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-6)


@given(counts)
def test_columns_of_one_gene_are_added_as_counts_in_logged_cells_too(values):
    values = values + np.eye(5, GENES, dtype=np.int64)
    pairs = match([position // 2 for position in range(GENES)])
    rules = HarmoniseRules(maximum=None)
    expected = harmonise_block(values, "raw", pairs, rules).expression
    logged = np.log1p(values / values.sum(axis=1, keepdims=True) * 1e4)
    found = harmonise_block(logged, "log1p", pairs, rules).expression
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-6)


def test_logged_values_of_a_gene_of_one_column_are_kept_to_the_bit():
    values = np.float32([[0.1, 0.7, 1.3, 2.9]])
    found = harmonise_block(
        values, "log1p", match([0, 1, 1, 2], vocabulary=3), HarmoniseRules(maximum=None)
    ).expression.toarray()
    assert found[0, 0] == values[0, 0]
    assert found[0, 2] == values[0, 3]


def test_the_printed_form_divides_counts_by_ten_thousand():
    rules = HarmoniseRules(log1p="printed", maximum=None)
    found = harmonise_block([[0, 10_000, 3]], "raw", match(range(3), vocabulary=3), rules)
    np.testing.assert_allclose(found.expression.toarray(), [[0, np.log(2), np.log1p(3e-4)]])


def test_what_happened_to_each_cell_is_said():
    values = np.array([[0, 0, 0], [5, 5, 0], [0, 1, 1]])
    found = harmonise_block(values, "raw", match([0, 1], vocabulary=4), HarmoniseRules(maximum=9))
    assert found.empty.tolist() == [True, False, False]
    assert found.genes.tolist() == [0, 2, 1]
    assert found.totals.tolist() == [0, 10, 2]
    assert found.matched.tolist() == [0, 10, 1]
    assert found.rescaled.tolist() == [False, True, True]
    assert found.expression.dtype == np.float32


@pytest.mark.parametrize("normalisation", ["raw", "log1p"])
def test_larger_values_are_clipped_and_smaller_ones_scaled_up(normalisation):
    values = np.array([[1.0, 2, 4], [1, 1, 12]])
    rules = HarmoniseRules(maximum=10, log1p="printed")
    found = harmonise_block(values, normalisation, match(range(3), vocabulary=3), rules)
    assert found.expression.max(axis=1).toarray().ravel().tolist() == [10, 10]
    if normalisation == "log1p":
        assert found.expression.toarray().tolist() == [[2.5, 5, 10], [1, 1, 10]]
        assert found.clipped.tolist() == [False, True]
