"""scGPT: equal to its authors' code, and what it refuses."""

import json

import numpy as np
import pytest
import torch

from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.expression.rows import canonical
from sclong_tasks.encoders.registry import get_encoder
from sclong_tasks.encoders.scgpt import quantile_bins
from tests.support.published import (
    batch,
    fixture,
    furthest,
    messages,
    tiny_cells,
    tiny_folder,
)

NAME = "scgpt"


@pytest.mark.real_data
@pytest.mark.parametrize("kind", ["seeded", "det", "full"])
def test_the_network_is_that_of_the_authors(kind):
    case = fixture(NAME)
    model = get_encoder(NAME, case.folder).model
    given = batch(
        case.tensor(f"{kind}_gene_ids"),
        ~case.tensor(f"{kind}_padding_mask"),
        values=case.tensor(f"{kind}_values"),
    )
    with torch.inference_mode():
        states = model.states(given)
        cells, expression = model.pool(states, given), model.decode(states)
    real = given.real
    assert furthest(cells, case.expected[f"{kind}_cell_embedding"]) < 1e-5
    assert furthest(states[real], case.tensor(f"{kind}_hidden")[real]) < 1e-5
    assert furthest(expression[real], case.tensor(f"{kind}_expr_pred")[real]) < 1e-5


@pytest.mark.real_data
def test_both_embedding_parts_are_those_of_the_authors():
    case = fixture(NAME)
    model = get_encoder(NAME, case.folder).model
    ids, values = case.tensor("det_gene_ids")[:3], case.tensor("det_values")[:3]
    with torch.inference_mode():
        assert furthest(model.embed_genes(ids), case.expected["stage_gene_encoder"]) < 1e-5
        assert furthest(model.embed_values(values), case.expected["stage_value_encoder"]) < 1e-5


@pytest.mark.real_data
@pytest.mark.parametrize(("kind", "options"), [("det", {}), ("full", {"max_length": 1200})])
def test_from_the_file_of_cells_to_vectors(kind, options):
    case = fixture(NAME)
    encoder = get_encoder(NAME, case.folder, **options)
    found = encoder.embed(case.folder / "input.h5ad")
    assert found.dtype == np.float32
    assert furthest(found, case.expected[f"{kind}_cell_embedding"]) < 1e-5
    tokens = encoder.tokens(
        canonical(case.cells.X), encoder.arrange(case.cells.var), list(case.cells.obs_names)
    )
    for cell, ids, values in zip(
        tokens, case.expected[f"{kind}_gene_ids"], case.expected[f"{kind}_values"], strict=True
    ):
        assert np.array_equal(cell.ids, ids[: len(cell.ids)])
        assert np.array_equal(cell.values, values[: len(cell.ids)])
        assert (values[len(cell.ids) :] == -2).all()


def test_a_tie_takes_the_middle_of_its_bins_and_draws_stay_within_them():
    values = np.array([1.0] * 30 + [2.0] * 20 + [7.0])
    bins = quantile_bins(values)
    assert len(set(bins[:30])) == 1
    assert bins[-1] == 50
    generator = np.random.default_rng(0)
    drawn = np.array([quantile_bins(values, generator.random(51)) for _ in range(200)])
    assert drawn[:, :30].min() == 1
    assert drawn[:, :30].max() < drawn[:, 30:50].min()
    assert abs(drawn[:, :30].mean() - bins[0]) < 0.6


def test_cells_that_are_too_long_keep_the_first_genes_or_drawn_ones(tmp_path, caplog):
    folder = tiny_folder(NAME, tmp_path)
    cells = tiny_cells()
    cells.X = cells.X + 1
    caplog.set_level("INFO")
    first = get_encoder(NAME, folder).embed(cells)
    assert "9 cells express more genes than fit into its 32 tokens" in messages(caplog)
    drawn = get_encoder(NAME, folder, draws="cell").embed(cells)
    assert furthest(first, drawn) > 1e-3
    order = np.random.default_rng(1).permutation(cells.n_vars)
    again = get_encoder(NAME, folder, draws="cell").embed(cells[::-1, order])
    assert furthest(again[::-1], drawn) < 1e-5
    other = get_encoder(NAME, folder, draws="cell", seed=1).embed(cells)
    assert furthest(other, drawn) > 1e-3


def test_the_stream_of_the_original_depends_on_the_order_of_cells(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    cells = tiny_cells()
    found = get_encoder(NAME, folder, draws="stream").embed(cells)
    again = get_encoder(NAME, folder, draws="stream").embed(cells)
    turned = get_encoder(NAME, folder, draws="stream").embed(cells[::-1])
    assert np.array_equal(found, again)
    assert furthest(found, turned[::-1]) > 1e-3


def test_a_vocabulary_of_another_model_is_refused(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({**vocabulary, "MORE": len(vocabulary)}))
    with pytest.raises(CheckpointError, match=r"44 tokens, and best_model\.pt vectors for 43"):
        get_encoder(NAME, folder)
    (folder / "vocab.json").write_text(json.dumps({"A": 0, "B": 2}))
    with pytest.raises(CheckpointError, match="do not run from 0 to 1"):
        get_encoder(NAME, folder)


def test_tokens_that_the_vocabulary_lacks_are_added(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    before = get_encoder(NAME, folder).embed(tiny_cells())
    vocabulary = json.loads((folder / "vocab.json").read_text())
    del vocabulary["<eoc>"], vocabulary["<cls>"]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    assert np.array_equal(get_encoder(NAME, folder).embed(tiny_cells()), before)


def test_names_of_flash_attention_are_understood(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    before = get_encoder(NAME, folder).embed(tiny_cells())
    state = torch.load(folder / "best_model.pt", weights_only=True)
    spelt = {
        name.replace("self_attn.in_proj_", "self_attn.Wqkv."): one for name, one in state.items()
    }
    torch.save(spelt, folder / "best_model.pt")
    assert np.array_equal(get_encoder(NAME, folder).embed(tiny_cells()), before)


@pytest.mark.parametrize("name", ["dsbn.bns.0.weight", "value_encoder.embedding.weight"])
def test_networks_of_another_kind_are_refused(tmp_path, name):
    folder = tiny_folder(NAME, tmp_path)
    state = torch.load(folder / "best_model.pt", weights_only=True)
    torch.save({**state, name: torch.zeros(3)}, folder / "best_model.pt")
    with pytest.raises(CheckpointError, match="batch labels or categories"):
        get_encoder(NAME, folder)


def test_options_are_checked(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    with pytest.raises(ConfigError, match="draws must be one of none, cell, stream"):
        get_encoder(NAME, folder, draws="twice")
    with pytest.raises(ConfigError, match="max_length must be from 2 to"):
        get_encoder(NAME, folder, max_length=1)
    with pytest.raises(ConfigError, match="colour is not an option of scgpt: it has draws"):
        get_encoder(NAME, folder, colour="red")


def test_ids_where_symbols_are_needed(tmp_path):
    cells = tiny_cells()
    del cells.var["symbol"]
    with pytest.raises(InputError, match="scGPT knows none of the genes: it takes genes by symbol"):
        get_encoder(NAME, tiny_folder(NAME, tmp_path)).embed(cells)
