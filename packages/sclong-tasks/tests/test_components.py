import numpy as np
import pytest

from sclong_core.errors import ConfigError
from sclong_tasks.components import dispersed_genes, fit_components
from sclong_tasks.metrics.nearest import tell_types
from tests.support.typed_cells import made_up_corpus_cells, typed_counts


def logged(counts):
    return np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).astype(np.float32)


def test_components_of_a_corpus_tell_types_of_cells_it_does_not_hold():
    found = fit_components(made_up_corpus_cells(), genes=25, components=10)
    counts, kinds = typed_counts(90, 60, seed=7)
    values = found(logged(counts), np.ones(60, dtype=bool), 10)
    assert values.shape == (90, 10)
    assert tell_types(values, kinds).macro_f1() > 0.9


def test_fewer_components_are_the_first_of_more():
    found = fit_components(made_up_corpus_cells(), genes=25, components=10)
    counts, _ = typed_counts(9, 60, seed=7)
    measured = np.ones(60, dtype=bool)
    few, many = found(logged(counts), measured, 4), found(logged(counts), measured, 10)
    np.testing.assert_array_equal(few, many[:, :4])


def test_a_gene_that_is_not_measured_stands_at_its_mean():
    found = fit_components(made_up_corpus_cells(), genes=25, components=5)
    counts, _ = typed_counts(5, 60, seed=7)
    values, measured = logged(counts), np.ones(60, dtype=bool)
    gone = int(found.genes_v[0])
    measured[gone] = False
    other = values.copy()
    other[:, gone] = 9
    np.testing.assert_array_equal(found(values, measured, 5), found(other, measured, 5))


def test_a_gene_that_few_sources_measure_is_not_chosen():
    cells = made_up_corpus_cells()
    chosen = dispersed_genes(cells, cells.weights(), 25)
    share = np.bincount(cells.source_n, cells.weights())
    assert share[2] > 0.5, "the source without the odd genes has more than half the weight"
    assert (chosen % 2 == 0).all()


@pytest.mark.parametrize(("genes", "components"), [(61, 5), (20, 240)])
def test_too_little_is_refused(genes, components):
    with pytest.raises(ConfigError):
        fit_components(made_up_corpus_cells(), genes=genes, components=components)
