import numpy as np
import pytest

from sclong_core.errors import InputError
from sclong_data.corpus.corpus import CellCorpus
from sclong_tasks.corpus_cells import read_corpus_cells
from tests.support.corpora import write_made_up_corpus
from tests.support.typed_cells import made_up_corpus_cells


def test_a_corpus_is_read_with_its_sources(tmp_path):
    write_made_up_corpus(tmp_path)
    cells, corpus = read_corpus_cells(tmp_path), CellCorpus(tmp_path)
    assert cells.expression.shape == (len(corpus), 40)
    assert np.bincount(cells.source_n).tolist() == [57, 47]
    assert cells.digest == corpus.digest
    second = corpus.read(np.flatnonzero(cells.source_n == 1)).toarray()
    np.testing.assert_array_equal(cells.measured_sg[1], (second > 0).any(0))


def test_a_large_source_weighs_as_the_root_of_its_size():
    cells = made_up_corpus_cells()
    by_source = np.bincount(cells.source_n, cells.weights())
    sizes = np.bincount(cells.source_n)
    np.testing.assert_allclose(by_source / by_source[0], np.sqrt(sizes / sizes[0]))
    assert cells.weights().sum() == pytest.approx(1)


def test_a_folder_without_a_corpus_is_refused(tmp_path):
    with pytest.raises(InputError):
        read_corpus_cells(tmp_path)
