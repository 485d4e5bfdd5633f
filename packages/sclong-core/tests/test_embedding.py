import anndata as ad
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix, csr_matrix

from sclong_core import (
    ConfigError,
    GeneGraph,
    GeneVocabulary,
    InputError,
    PerformerConfig,
    ScLong,
    ScLongConfig,
)
from sclong_core.embedding import inference
from sclong_core.expression import ReadingOptions

GENES, DIM = 30, 16
IDS = [f"ENSG{place:011d}" for place in range(GENES)]
SYMBOLS = [f"GENE{place}" for place in range(GENES)]
SIDE = PerformerConfig(dim=DIM, depth=2, heads=2, dim_head=8)
CONFIG = ScLongConfig(
    genes=GENES,
    dim=DIM,
    high_genes=8,
    large=PerformerConfig(dim=24, depth=2, heads=2, dim_head=8),
    mini=SIDE,
    full=SIDE,
)


def make_model():
    graph = GeneGraph(GENES, np.stack([np.arange(GENES)] * 2), np.ones(GENES, dtype=np.float32))
    return ScLong(CONFIG, GeneVocabulary.from_ids(IDS, SYMBOLS), graph).eval()


MODEL = make_model()


def make_cells(cells=9, genes=GENES, seed=0):
    counts = np.random.default_rng(seed).poisson(0.8, (cells, genes)).astype(np.float32)
    counts[:, 0] += 1
    adata = ad.AnnData(csr_matrix(counts))
    adata.var_names = IDS[:genes]
    adata.obs_names = [f"cell{place}" for place in range(cells)]
    return adata


def expected_input(adata):
    counts = adata.X.toarray().astype(np.float64)
    return np.log1p(counts / counts.sum(1, keepdims=True) * 10_000)


def test_embedding_is_float32_in_the_order_of_the_cells():
    adata = make_cells()
    embedding = MODEL.embed(adata)
    assert embedding.shape == (9, DIM)
    assert embedding.dtype == np.float32
    np.testing.assert_allclose(MODEL.embed(adata[::-1].copy()), embedding[::-1], atol=1e-5)


def test_pooling_rules_follow_their_definitions():
    adata = make_cells()
    genes = MODEL.gene_representations(adata, IDS).astype(np.float64)
    values = expected_input(adata)
    expressed = (values > 0)[..., None]
    weights = (values / values.sum(1, keepdims=True))[..., None]
    sums = genes.sum(-1) + MODEL.reconstruct(adata)
    expected = {
        "mean": genes.mean(1),
        "mean_expressed": (genes * expressed).sum(1) / expressed.sum(1),
        "expression_weighted": (genes * weights).sum(1),
        "gene_sums": sums,
    }
    for pool, rule in expected.items():
        np.testing.assert_allclose(MODEL.embed(adata, pool=pool), rule, atol=2e-5, err_msg=pool)


@settings(max_examples=10, deadline=None)
@given(
    batch_size=st.integers(1, 12),
    cells=st.lists(st.integers(0, 8), min_size=1, max_size=6, unique=True),
    order=st.permutations(range(GENES)),
)
def test_a_cells_embedding_depends_on_the_cell_alone(batch_size, cells, order):
    """Neither on the batch, nor on other cells, nor on the order of its genes (exactly)."""
    adata = make_cells()
    whole = MODEL.embed(adata, batch_size=4)
    chosen = MODEL.embed(adata[cells].copy(), batch_size=batch_size)
    np.testing.assert_allclose(chosen, whole[cells], atol=1e-5)
    shuffled = MODEL.embed(adata[:, list(order)].copy(), batch_size=4)
    np.testing.assert_array_equal(shuffled, whole)


def test_storage_of_the_matrix_changes_nothing():
    adata = make_cells()
    whole = MODEL.embed(adata)
    counts = adata.X.toarray()
    for matrix in (counts, counts.astype(np.uint8), csc_matrix(counts), counts.astype(np.float64)):
        stored = ad.AnnData(matrix, obs=adata.obs, var=adata.var)
        np.testing.assert_array_equal(MODEL.embed(stored), whole)


def test_raw_counts_and_their_logarithm_embed_alike():
    adata = make_cells()
    logged = adata.copy()
    logged.X = csr_matrix(expected_input(adata).astype(np.float32))
    np.testing.assert_allclose(MODEL.embed(logged), MODEL.embed(adata), atol=1e-4)


def test_a_file_is_embedded_like_the_object(tmp_path):
    adata = make_cells()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(MODEL.embed(tmp_path / "cells.h5ad"), MODEL.embed(adata))


def test_reading_options_choose_matrix_and_column():
    adata = make_cells()
    whole = MODEL.embed(adata)
    adata.layers["counts"] = adata.X.copy()
    adata.X = -adata.X
    adata.var["id"] = adata.var_names
    adata.var_names = [f"gene {place}" for place in range(GENES)]
    reading: ReadingOptions = {"matrix": "counts", "gene_column": "id", "normalisation": "raw"}
    np.testing.assert_array_equal(MODEL.embed(adata, **reading), whole)
    with pytest.raises(InputError, match="negative"):
        MODEL.embed(adata)


def test_genes_are_given_by_id_version_or_symbol():
    adata = make_cells()
    by_id = MODEL.gene_representations(adata, [IDS[3], IDS[5]])
    np.testing.assert_array_equal(
        MODEL.gene_representations(adata, [f"{IDS[3]}.7", "GENE5"]), by_id
    )


def test_unknown_genes_get_the_mean_of_the_cell_or_an_error():
    adata = make_cells()
    adata.var_names = ["ENSG99999999999", *IDS[1:]]
    embedding = MODEL.embed(adata)
    genes = MODEL.gene_representations(adata)
    assert genes.shape == (9, GENES, DIM)
    np.testing.assert_allclose(genes[:, 0], embedding, atol=1e-6)
    reconstruction = MODEL.reconstruct(adata)
    decoder = MODEL.decoder
    decoded = embedding @ decoder.weight.detach().numpy()[0] + decoder.bias.detach().numpy()
    np.testing.assert_allclose(reconstruction[:, 0], decoded, atol=1e-5)
    with pytest.raises(InputError, match="1 genes are not in the model's vocabulary"):
        MODEL.gene_representations(adata, unknown="error")
    with pytest.raises(InputError, match="ENSG99999999999"):
        MODEL.reconstruct(adata, unknown="error")


def test_reconstruction_has_the_genes_of_the_data_in_their_order():
    adata = make_cells()
    whole = MODEL.reconstruct(adata)
    assert whole.shape == (9, GENES)
    np.testing.assert_array_equal(MODEL.reconstruct(adata[:, ::-1].copy()), whole[:, ::-1])


def test_attention_rows_sum_to_one_over_all_genes_but_pad():
    adata = make_cells(3)
    weights = MODEL.attention(adata, IDS)
    assert weights.shape == (3, GENES, GENES)
    assert (weights > 0).all()
    total = weights.sum(-1)
    assert (total < 1).all()
    assert (total > 0.8).all()


def test_attention_does_not_depend_on_which_genes_are_asked_for():
    adata = make_cells(3)
    whole = MODEL.attention(adata, IDS, layer=0)
    chosen = [7, 2, 20]
    part = MODEL.attention(adata, [IDS[place] for place in chosen], layer=0, batch_size=1)
    np.testing.assert_allclose(part, whole[:, chosen][:, :, chosen], atol=1e-6)


def test_an_encoder_sees_its_own_genes_only():
    adata = make_cells(3)
    large = MODEL.attention(adata, IDS, encoder="large")
    mini = MODEL.attention(adata, IDS, encoder="mini")
    np.testing.assert_allclose(large.sum(-1).max(-1), 1, atol=1e-5)
    assert ((large.sum(-1) > 0).sum(-1) == CONFIG.high_genes).all()
    assert ((large.sum(-1) > 0) == (mini.sum(-1) == 0)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": 2}, "has 2 layers"),
        ({"encoder": "middle"}, "encoder must be one of large, mini, full"),
    ],
)
def test_a_layer_that_is_not_there(arguments, message):
    with pytest.raises(ConfigError, match=message):
        MODEL.attention(make_cells(1), IDS[:2], **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"pool": "max"}, "pool must be one of mean"), ({"batch_size": 0}, "batch_size must be")],
)
def test_impossible_settings_of_embed(arguments, message):
    with pytest.raises(ConfigError, match=message):
        MODEL.embed(make_cells(1), **arguments)


def test_embedding_leaves_a_model_in_training_as_it_was():
    model = make_model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.embed(make_cells(2))
    assert model.training
    assert all(bool((before[name] == t).all()) for name, t in model.state_dict().items())


@pytest.mark.parametrize(("limit", "threads"), [(10**9, 1), (0, 2)])
def test_a_small_model_runs_on_one_thread(monkeypatch, limit, threads):
    monkeypatch.setattr(inference, "SMALL", limit)
    model, seen = make_model(), []
    model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        model.embed(make_cells(3), batch_size=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [threads] * 3


def test_progress_is_drawn_when_asked_for(capsys):
    MODEL.embed(make_cells(9), progress=True, batch_size=1)
    assert "cells/s" in capsys.readouterr().err
    MODEL.embed(make_cells(2))
    assert "cells/s" not in capsys.readouterr().err
