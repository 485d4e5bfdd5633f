import numpy as np
import pytest
import torch
from scipy import sparse

from sclong_core.errors import ConfigError
from sclong_tasks.denoising import DenoisingNetwork, DenoisingOptions, thinned, train_denoising
from sclong_tasks.metrics.nearest import tell_types
from tests.support.typed_cells import made_up_corpus_cells, typed_counts

SMALL = DenoisingOptions(genes=25, hidden=32, width=8, steps=120, batch_size=32)


def logged(counts):
    return np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return train_denoising(made_up_corpus_cells(), SMALL)


def test_it_tells_types_of_cells_that_it_never_saw(network):
    counts, kinds = typed_counts(90, 60, seed=7)
    values = network.embed(logged(counts), np.ones(60, dtype=bool))
    assert values.shape == (90, 8)
    assert tell_types(values, kinds).macro_f1() > 0.85


def test_training_makes_the_loss_smaller(network):
    untrained = train_denoising(
        made_up_corpus_cells(), DenoisingOptions(**{**vars(SMALL), "steps": 1})
    )
    counts, _ = typed_counts(64, 60, seed=8)
    whole, all_measured = torch.from_numpy(logged(counts)), torch.ones(64, 60, dtype=torch.bool)

    def loss(one):
        return one.training_step(
            (whole[:, one.genes], all_measured[:, one.genes], whole, all_measured), 0
        )

    with torch.inference_mode():
        assert loss(network) < 0.8 * loss(untrained)


def test_the_same_seed_gives_the_same_network(network):
    again = train_denoising(made_up_corpus_cells(), SMALL)
    other = train_denoising(made_up_corpus_cells(), SMALL, seed=1)
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert not torch.equal(network.value.weight, other.value.weight)


def test_a_cell_has_the_same_vector_whoever_is_beside_it(network):
    counts, _ = typed_counts(20, 60, seed=9)
    measured = np.ones(60, dtype=bool)
    together, alone = (
        network.embed(logged(counts), measured),
        network.embed(logged(counts[3:4]), measured),
    )
    np.testing.assert_allclose(together[3], alone[0], atol=1e-5)


def test_what_is_saved_is_loaded(network, tmp_path):
    network.save(tmp_path / "saved")
    loaded = DenoisingNetwork.load(tmp_path / "saved")
    counts, _ = typed_counts(5, 60, seed=9)
    measured = np.arange(60) % 3 > 0
    np.testing.assert_array_equal(
        network.embed(logged(counts), measured), loaded.embed(logged(counts), measured)
    )


def test_an_unmeasured_gene_is_not_read(network):
    counts, _ = typed_counts(5, 60, seed=9)
    values, measured = logged(counts), np.ones(60, dtype=bool)
    gone = int(network.genes[0])
    measured[gone] = False
    other = values.copy()
    other[:, gone] = 5
    np.testing.assert_array_equal(network.embed(values, measured), network.embed(other, measured))


def test_thinning_keeps_the_share_of_counts_that_is_asked_for():
    draw = np.random.default_rng(0)
    counts = draw.poisson(3.0, size=(200, 60)).astype(np.float32)
    counts[:, 0] = 1
    before = sparse.csr_array(logged(counts))
    found = thinned(before, np.full(200, 0.25), draw).toarray()
    one = np.expm1(before.toarray()[:, 0].astype(np.float64))  # of a single count
    kept = np.expm1(found.astype(np.float64)).sum(1) / one * 0.25
    assert kept.sum() / counts.sum() == pytest.approx(0.25, abs=0.02)
    assert not (found[counts == 0] > 0).any()
    whole = thinned(before, np.ones(200), draw).toarray()
    np.testing.assert_allclose(whole, before.toarray(), atol=1e-5)


def test_a_cell_without_a_value_stays_empty():
    before = sparse.csr_array(np.array([[0, 0, 0], [0, 1.5, 2.0], [0, 0, 0]], dtype=np.float32))
    assert not thinned(before, np.full(3, 0.5), np.random.default_rng(0))[[0, 2]].toarray().any()


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"least_kept": 0.0}, {"most_hidden": 1.0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        DenoisingOptions(**wrong)
