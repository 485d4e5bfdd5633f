"""Geneformer, on a tiny checkpoint in its own format."""

import json
import pickle

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_tasks.cache import ContentCache
from sclong_tasks.encoders.foreign import PRECOMPUTED_ONLY, Geneformer, refuse_foreign
from sclong_tasks.encoders.protocol import ExpressionTable

GENES = [f"ENSG{number:011d}" for number in range(1, 7)]


def write_geneformer(folder, *, marks=True, pickled=False):
    names = ["<pad>", "<mask>", *(["<cls>", "<eos>"] if marks else []), *GENES[:5]]
    tokens = {name: number for number, name in enumerate(names)}
    medians = {gene: 1.0 + place for place, gene in enumerate(GENES[:5])}
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=6,
    )
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(folder)
    for stem, content in (("token_dictionary", tokens), ("gene_median_dictionary", medians)):
        if pickled:
            (folder / f"{stem}_gc95M.pkl").write_bytes(pickle.dumps(content))
        else:
            (folder / f"{stem}.json").write_text(json.dumps(content))
    return tokens


@pytest.fixture
def expression():
    values = np.array([[4, 4, 0, 4, 0, 9], [0, 1, 0, 0, 0, 0]], np.float32)
    return ExpressionTable(values, ("a", "b"), tuple(GENES), "counts")


def test_genes_are_ranked_by_value_over_median(tmp_path):
    tokens = write_geneformer(tmp_path)
    model = Geneformer(tmp_path)
    # Medians are 1, 2, 3, 4, 5: the first gene's 4 is worth more than the fourth's 8.
    (cell,) = model.encode(np.array([[4.0, 0, 0, 8, 1]]), GENES[:5])
    assert cell == [tokens[n] for n in ("<cls>", GENES[0], GENES[3], GENES[4], "<eos>")]
    (full,) = model.encode(np.array([[9.0, 8, 7, 6, 5]]), GENES[:5])
    assert len(full) == 6
    assert full[-1] == tokens["<eos>"]


def test_cells_are_the_mean_of_gene_tokens_of_the_layer_before_the_last(tmp_path, expression):
    tokens = write_geneformer(tmp_path)
    model = Geneformer(tmp_path)
    found = model.cells(expression)
    whole = BertForMaskedLM.from_pretrained(tmp_path).eval()
    # Values over medians: 4, 2 and 1.
    order = [tokens["<cls>"], *(tokens[GENES[place]] for place in (0, 1, 3)), tokens["<eos>"]]
    with torch.inference_mode():
        hidden = whole(torch.tensor([order]), output_hidden_states=True).hidden_states
    np.testing.assert_allclose(found.values[0], hidden[-2][0, 1:-1].mean(0), rtol=1e-4, atol=1e-6)
    assert found.coverage.unknown == (GENES[5],)


def test_a_cell_does_not_depend_on_its_batch(tmp_path, expression):
    write_geneformer(tmp_path, marks=False)
    together = Geneformer(tmp_path).cells(expression).values
    alone = Geneformer(tmp_path, batch_size=1).cells(expression).values
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


def test_cells_are_kept_and_genes_are_token_embeddings(tmp_path, expression, monkeypatch):
    (tmp_path / "model").mkdir()
    tokens = write_geneformer(tmp_path / "model")
    encoder = Geneformer(tmp_path / "model", ContentCache(tmp_path / "cache"))
    first = encoder.cells(expression).values
    monkeypatch.setattr(Geneformer, "_compute", None)
    assert np.array_equal(encoder.cells(expression).values, first)
    weights = encoder.model.get_input_embeddings().weight.detach().numpy()
    found = encoder.genes([GENES[2], GENES[5]])
    assert np.array_equal(found.values[0], weights[tokens[GENES[2]]])
    assert found.coverage.unknown == (GENES[5],)


def test_pickled_dictionaries_are_read_without_being_executed(tmp_path, expression):
    write_geneformer(tmp_path, pickled=True)
    assert Geneformer(tmp_path).cells(expression).values.shape == (2, 8)
    (tmp_path / "token_dictionary_gc95M.pkl").write_bytes(pickle.dumps({"x": print}))
    with pytest.raises(CheckpointError):
        Geneformer(tmp_path)


@pytest.mark.parametrize("content", ["{", "[" * 5000, "[]"])
def test_a_dictionary_that_is_none_is_refused(tmp_path, content):
    write_geneformer(tmp_path)
    next(tmp_path.glob("token_dictionary*")).write_text(content)
    with pytest.raises(InputError, match=r"is no JSON|must hold a dictionary"):
        Geneformer(tmp_path)


def test_what_is_missing_is_said(tmp_path, expression):
    with pytest.raises(InputError, match="token_dictionary"):
        Geneformer(tmp_path)
    write_geneformer(tmp_path)
    symbols = ExpressionTable(expression.values, expression.cells, tuple("abcdef"), "counts")
    with pytest.raises(InputError, match="takes Ensembl ids"):
        Geneformer(tmp_path).cells(symbols)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors"):
        Geneformer(tmp_path)


@pytest.mark.parametrize("name", sorted(PRECOMPUTED_ONLY))
def test_other_models_take_part_by_tables(name):
    with pytest.raises(ConfigError, match="precomputed"):
        refuse_foreign(name)
