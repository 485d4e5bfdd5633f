"""Geneformer, V1 and V2: equal to its authors' code and to transformers, and what it refuses."""

import json
import pickle

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.expression.rows import canonical
from sclong_tasks.cache import ContentCache
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.encoders.published_files import read_dictionary
from sclong_tasks.encoders.registry import get_encoder
from tests.support.published import GENES, batch, fixture, furthest, tiny_cells, tiny_folder

NAME = "geneformer"
FIXTURES = ("geneformer_v1", "geneformer_v2")


@pytest.mark.real_data
@pytest.mark.parametrize("name", FIXTURES)
@pytest.mark.parametrize("kind", ["original", "det"])
def test_the_network_is_that_of_the_authors(name, kind):
    case = fixture(name)
    model = get_encoder(NAME, case.folder).model
    ids, lengths = case.tensor(f"{kind}_input_ids"), case.tensor(f"{kind}_length")
    real = torch.arange(ids.shape[1])[None] < lengths[:, None]
    special = torch.tensor([number for word, number in model.vocabulary.items() if word[0] == "<"])
    given = batch(ids, real, torch.where(torch.isin(ids, special), -1, ids))
    with torch.inference_mode():
        states = model.states(given)
        cells = model.pool(states, given)
    assert furthest(cells, case.expected[f"{kind}_cell_layerm1"]) < 5e-6
    assert furthest(states[real], case.tensor(f"{kind}_gene_layerm1_hidden")[real]) < 5e-6


@pytest.mark.real_data
@pytest.mark.parametrize("name", FIXTURES)
def test_every_hidden_state_is_that_of_the_authors(name):
    case = fixture(name)
    model = get_encoder(NAME, case.folder, layer=0).model
    real = case.tensor("stage_attention_mask").bool()
    with torch.inference_mode():
        found = model.hidden_states(batch(case.tensor("det_input_ids")[:3], real))
    for state, expected in zip(found, case.tensor("stage_hidden_states"), strict=True):
        assert furthest(state[real], expected[real]) < 5e-6


@pytest.mark.real_data
@pytest.mark.parametrize("name", FIXTURES)
def test_from_the_file_of_cells_to_vectors(name):
    case = fixture(name)
    encoder = get_encoder(NAME, case.folder)
    tokens = encoder.tokens(
        canonical(case.cells.X), encoder.arrange(case.cells.var), list(case.cells.obs_names)
    )
    assert [len(cell.ids) for cell in tokens] == case.expected["det_length"].tolist()
    for cell, ids in zip(tokens, case.expected["det_input_ids"], strict=True):
        assert np.array_equal(cell.ids, ids[: len(cell.ids)])
    path = case.folder / "input.h5ad"
    assert furthest(encoder.embed(path), case.expected["det_cell_layerm1"]) < 5e-6
    last = get_encoder(NAME, case.folder, layer=0).embed(path)
    assert furthest(last, case.expected["det_cell_layer0"]) < 5e-6
    if "det_cls_layer0" in case.expected:
        first = get_encoder(NAME, case.folder, pool="cls").embed(path)
        assert furthest(first, case.expected["det_cls_layerm1"]) < 5e-6


@pytest.mark.real_data
@pytest.mark.parametrize("name", FIXTURES)
def test_genes_are_averaged_over_the_cells_that_hold_them(name):
    case = fixture(name)
    encoder = get_encoder(NAME, case.folder)
    found, names = encoder.gene_representations(case.cells)
    ids = [encoder.model.known_id(gene) for gene in names]
    place = {gene: row for row, gene in enumerate(case.expected["det_gene_layerm1_mean_ids"])}
    assert set(ids) == {gene for gene in place if not gene.startswith("<")}
    rows = [place[gene] for gene in ids]
    assert furthest(found, case.expected["det_gene_layerm1_mean"][rows]) < 5e-6


def write_by_transformers(folder, *, marks, weights="model.safetensors"):
    words = ["<pad>", "<mask>", *(["<cls>", "<eos>"] if marks else []), *list(GENES)[:30]]
    tokens = {name: number for number, name in enumerate(words)}
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=24,
        hidden_act="relu",
    )
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = BertForMaskedLM(config).eval()
    folder.mkdir()
    config.save_pretrained(folder)
    if weights == "model.safetensors":
        model.save_pretrained(folder)
    else:
        torch.save(model.state_dict(), folder / weights)
    medians = {gene: 1.0 + number % 4 for number, gene in enumerate(list(GENES)[:30])}
    (folder / "token_dictionary_gc95M.pkl").write_bytes(pickle.dumps(tokens))
    (folder / "gene_median_dictionary.json").write_text(json.dumps(medians))
    return tokens, medians, model


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_files_of_transformers_give_what_transformers_computes(tmp_path, marks, weights):
    tokens, medians, model = write_by_transformers(tmp_path / "m", marks=marks, weights=weights)
    cells = tiny_cells(4)
    found = get_encoder(NAME, tmp_path / "m").embed(cells)
    for row, vector in zip(cells.X, found, strict=True):
        ranked = sorted(
            (-count / medians[gene], place)
            for place, (gene, count) in enumerate(zip(cells.var_names, row, strict=True))
            if gene in medians and count
        )
        ids = [tokens[cells.var_names[place]] for _, place in ranked]
        ids = ids[: 24 - 2 * marks]
        whole = [tokens["<cls>"], *ids, tokens["<eos>"]] if marks else ids
        with torch.inference_mode():
            hidden = model(torch.tensor([whole]), output_hidden_states=True).hidden_states[-2][0]
        assert furthest(vector, hidden[1:-1].mean(0) if marks else hidden.mean(0)) < 5e-6


def test_versions_of_ids_are_passed_over_and_columns_of_one_gene_are_added(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    encoder = get_encoder(NAME, folder)
    cells = tiny_cells()
    expected = encoder.embed(cells)
    versioned = cells.copy()
    versioned.var_names = [f"{name}.7" for name in cells.var_names]
    del versioned.var["symbol"]
    assert furthest(encoder.embed(versioned), expected) < 1e-5
    # Half of the counts of a gene under its symbol, in a column of its own behind all others.
    names = list(GENES)
    arrangement = encoder.model.arrange([names[0], names[1], GENES[names[0]], "nothing"])
    assert arrangement.names == (names[1], names[0])
    assert arrangement.unknown == ("nothing",)
    counts = canonical(np.array([[1.0, 2.0, 4.0, 8.0]])) @ arrangement.select
    assert counts.toarray().tolist() == [[2.0, 5.0]]


def test_genes_are_token_embeddings_and_cells_are_kept(tmp_path, monkeypatch):
    encoder = get_encoder(NAME, tiny_folder(NAME, tmp_path), cache=ContentCache(tmp_path / "cache"))
    names = [*list(GENES)[:2], "ENSG00000999999"]
    found = encoder.genes(names)
    weights = encoder.model.words.weight.detach().numpy()
    assert np.array_equal(found.values[0], weights[encoder.model.vocabulary[names[0]]])
    assert np.allclose(found.values[2], found.values[:2].mean(0))
    assert found.coverage.unknown == ("ENSG00000999999",)
    values = np.array([[3, 0, 2.0], [0, 1, 1]], np.float32)
    table = ExpressionTable(values, ("a", "b"), tuple(names), "counts")
    first = encoder.cells(table)
    assert first.provenance["values"] == "counts"
    monkeypatch.setattr(encoder, "vectors", None)
    assert np.array_equal(encoder.cells(table).values, first.values)


def test_dictionaries_of_another_version_are_refused(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    tokens = read_dictionary(folder / "token_dictionary.pkl")
    shorter = {name: number for name, number in tokens.items() if number < 20}
    (folder / "token_dictionary.pkl").write_bytes(pickle.dumps(shorter))
    with pytest.raises(
        CheckpointError, match="20 tokens, and the weights beside it vectors for 44"
    ):
        get_encoder(NAME, folder)
    (folder / "token_dictionary.pkl").write_bytes(pickle.dumps(tokens))
    (folder / "gene_median_dictionary.pkl").write_bytes(pickle.dumps({next(iter(GENES)): 1.0}))
    with pytest.raises(CheckpointError, match="no median for 39 genes of the token dictionary"):
        get_encoder(NAME, folder)
    (folder / "token_dictionary_gc95M.pkl").write_bytes(pickle.dumps(tokens))
    with pytest.raises(CheckpointError, match="several dictionaries of tokens"):
        get_encoder(NAME, folder)


def test_dictionaries_are_read_without_being_executed(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    (folder / "token_dictionary.pkl").write_bytes(pickle.dumps({"x": print}))
    with pytest.raises(CheckpointError, match=r"builtins\.print"):
        get_encoder(NAME, folder)


@pytest.mark.parametrize("content", ["{", "[" * 5000, "[]", '{"a": "b"}'])
def test_a_dictionary_that_is_none_is_refused(tmp_path, content):
    write_by_transformers(tmp_path / "m", marks=True)
    (tmp_path / "m" / "token_dictionary_gc95M.pkl").unlink()
    (tmp_path / "m" / "token_dictionary.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"is not JSON|must hold an object|stands for 'b'"):
        get_encoder(NAME, tmp_path / "m")


def test_settings_of_other_networks_are_refused(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    for name, value, message in (
        ("model_type", "gpt2", "is of a gpt2 model"),
        ("hidden_act", "silu", "hidden_act must be relu or gelu"),
        ("hidden_size", 0, "hidden_size must be a positive whole number"),
        ("num_attention_heads", 3, "do not go into 3 heads"),
        ("num_hidden_layers", 3, r"lacks 16 tensors \(bert.encoder.layer.2"),
        ("num_hidden_layers", 1, "that this model has no place for"),
        ("intermediate_size", 25, r"has the shape \(24, 16\), not \(25, 16\)"),
    ):
        (folder / "config.json").write_text(json.dumps({**settings, name: value}))
        with pytest.raises(CheckpointError, match=message):
            get_encoder(NAME, folder)


def test_options_are_checked(tmp_path):
    folder = tiny_folder(NAME, tmp_path)
    with pytest.raises(ConfigError, match="the model has positions for 32 tokens"):
        get_encoder(NAME, folder, max_length=33)
    with pytest.raises(ConfigError, match="the model has 2 layers"):
        get_encoder(NAME, folder, layer=-3)
    with pytest.raises(ConfigError, match="layer must be a whole number, not 'two'"):
        get_encoder(NAME, folder, layer="two")
    write_by_transformers(tmp_path / "v1", marks=False)
    with pytest.raises(ConfigError, match="this Geneformer has no <cls>"):
        get_encoder(NAME, tmp_path / "v1", pool="cls")


def test_symbols_where_ids_are_needed(tmp_path):
    write_by_transformers(tmp_path / "m", marks=True)
    cells = tiny_cells()
    cells.var_names = list(cells.var["symbol"])
    with pytest.raises(
        InputError, match="Geneformer knows none of the genes: it takes genes by Ens"
    ):
        get_encoder(NAME, tmp_path / "m").embed(cells)


def test_two_columns_of_one_gene_have_its_vector(tmp_path):
    """Ids that the mapping leads to one gene are added; each name gets what the sum gets."""
    encoder = get_encoder(NAME, tiny_folder(NAME, tmp_path))
    gene, symbol = next(iter(GENES.items()))
    genes = (*GENES, symbol)
    counts = np.random.default_rng(0).poisson(3, (6, len(genes))).astype(np.float32) + 1
    names = tuple(f"cell {number}" for number in range(6))
    found = encoder.genes_in_cells(ExpressionTable(counts, names, genes, "counts"))
    vector = dict(zip(found.names, found.values, strict=True))
    assert np.array_equal(vector[gene], vector[symbol])
    assert not np.array_equal(vector[gene], vector[genes[1]])
