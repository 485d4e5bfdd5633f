import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sclong_data.harmoniser.digests import cell_digests
from sclong_data.harmoniser.duplicates import CellRun, find_duplicates


def digests(words):
    """A digest a cell, of small numbers: many are equal, and many differ in one word alone."""
    values = np.array(words, dtype=np.uint64).reshape(-1, 2)
    return values << np.uint64(62)


def expected(cells):
    """The rule, plainly: the first of equal ones stays, by data set and row."""
    seen, kept, pairs = {}, {}, {}
    for dataset, row, word in sorted(cells, key=lambda cell: cell[:2]):
        kept[dataset, row] = word not in seen
        if word in seen:
            pair = (seen[word], dataset)
            pairs[pair] = pairs.get(pair, 0) + 1
        seen.setdefault(word, dataset)
    return kept, pairs


words = st.tuples(st.integers(0, 3), st.integers(0, 3))
corpora = st.dictionaries(st.sampled_from("abcd"), st.lists(words, max_size=20))


@given(corpora, st.data())
def test_any_order_and_any_partition_give_the_same_cells(corpus, data):
    cells = [(name, row, word) for name in corpus for row, word in enumerate(corpus[name])]
    runs = []
    for name, rows in corpus.items():
        cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(rows) - 1)), max_size=3)))
        for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            runs.append(CellRun(name, start, digests(rows[start:stop])))
    runs = data.draw(st.permutations(runs))
    found = find_duplicates(runs)
    kept, pairs = expected(cells)
    for run, rows in zip(runs, found.kept, strict=True):
        assert rows.tolist() == [kept[run.dataset, run.first + row] for row in range(len(rows))]
    assert found.pairs == dict(sorted(pairs.items()))


def test_no_cells_have_no_duplicates():
    assert find_duplicates([]).kept == ()
    found = find_duplicates([CellRun("a", 0, digests([]))])
    assert found.kept[0].shape == (0,)


def test_many_cells_are_compared_as_a_few_are():
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2**64, (5_000, 2), dtype=np.uint64)
    again = generator.choice(5_000, 700, replace=False)
    runs = [CellRun("b", 0, values[again]), CellRun("a", 0, values)]
    found = find_duplicates(runs)
    assert not found.kept[0].any()
    assert found.kept[1].all()
    assert found.pairs == {("a", "b"): 700}


def test_a_digest_is_that_of_positions_and_values():
    rows = np.float32([[0, 1, 2], [0, 1, 2], [1, 0, 2], [0, 1, 2.0000002], [0, 0, 0]])
    found = cell_digests(sparse.csr_array(rows))
    assert found.shape == (5, 2)
    assert found.dtype == np.uint64
    assert len({tuple(digest) for digest in found.tolist()}) == 4
    assert found[0].tolist() == found[1].tolist()


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_a_digest_does_not_depend_on_neighbours_or_index_type(dtype):
    rows = sparse.csr_array(np.float32([[3, 0, 1], [0, 2, 0]]))
    rows.indices, rows.indptr = rows.indices.astype(dtype), rows.indptr.astype(dtype)
    alone = cell_digests(sparse.csr_array(np.float32([[0, 2, 0]])))
    assert cell_digests(rows)[1].tolist() == alone[0].tolist()
    # Written by hand: what is digested must not change between versions.
    assert alone[0].tolist() == [13515927866906846423, 16894168230005663190]
