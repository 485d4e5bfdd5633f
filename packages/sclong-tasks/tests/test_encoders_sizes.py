"""Sizes come from the files: other depths and widths, beside PyTorch's own transformer layers."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sclong_core.errors import CheckpointError
from sclong_core.expression.rows import canonical
from sclong_tasks.encoders import tiny
from sclong_tasks.encoders.published_model import collate
from sclong_tasks.encoders.registry import PUBLISHED, get_encoder
from sclong_tasks.encoders.tiny import write_pickle
from tests.support.published import GENES, furthest, tiny_cells, tiny_folder

NAMES = tuple(PUBLISHED)
SIZES = [(24, 3, 40, 1), (32, 8, 20, 5), (18, 1, 18, 3)]
"""Width, heads, width of the feed-forward part, layers."""
PREFIXES = {
    "scgpt": "transformer_encoder.layers.",
    "uce": "transformer_encoder.layers.",
    "scfoundation": "encoder.transformer_encoder.",
}


@pytest.fixture(params=SIZES, ids=str)
def sizes(request, monkeypatch):
    """Tiny checkpoints are written in these sizes."""
    for name, size in zip(("_WIDTH", "_HEADS", "_HIDDEN", "_LAYERS"), request.param, strict=True):
        monkeypatch.setattr(tiny, name, size)
    return request.param


def batch_of(encoder):
    cells = tiny_cells(5)
    tokens = encoder.tokens(
        canonical(cells.X), encoder.arrange(cells.var), list(map(str, cells.obs_names))
    )
    return collate(tokens, encoder.model, torch.device("cpu"))


def through_torch(state, prefix, sizes, x, real):
    """PyTorch's own layers with the tensors of the file, by their names there."""
    width, heads, hidden, count = sizes
    for number in range(count):
        layer = nn.TransformerEncoderLayer(width, heads, hidden, batch_first=True).eval()
        begin = f"{prefix}{number}."
        own = {
            name.removeprefix(begin): part for name, part in state.items() if name.startswith(begin)
        }
        layer.load_state_dict(own, strict=True)
        x = layer(x, src_key_padding_mask=~real)
    assert not any(name.startswith(f"{prefix}{count}.") for name in state)
    return x


@pytest.mark.parametrize("name", PREFIXES)
def test_layers_are_those_of_pytorch_in_any_size(name, sizes, tmp_path):
    if name == "scfoundation":
        sizes = (*sizes[:2], 4 * sizes[0], sizes[3])
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    model, given = encoder.model, batch_of(encoder)
    path = next(one for one in (tmp_path / name).iterdir() if is_weights(one))
    state = torch.load(path, weights_only=True)
    if name == "scfoundation":
        state = {
            part.removeprefix("model."): one for part, one in state["cell"]["state_dict"].items()
        }
    with torch.inference_mode():
        if name == "scgpt":
            x, found = (
                model.embed_genes(given.ids) + model.embed_values(given.values),
                model.states(given),
            )
        elif name == "uce":
            x = model.embed_tokens(given.ids) * sizes[0] ** 0.5
            x, found = x + model.places[: x.shape[1], 0], model.encode(given)
        else:
            x, found = model.embed(given), model.states(given)
        expected = through_torch(state, PREFIXES[name], sizes, x, given.real)
        if name == "scfoundation":
            expected = model.encoder_norm(expected)
    assert furthest(found[given.real], expected[given.real]) < 1e-5


def is_weights(path):
    return path.suffix in (".pt", ".ckpt", ".torch") and path.name != "all_tokens.torch"


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_geneformer_is_the_bert_of_transformers_in_any_size(activation, sizes, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = tiny_folder("geneformer", tmp_path)
    settings = json.loads((folder / "config.json").read_text()) | {"hidden_act": activation}
    (folder / "config.json").write_text(json.dumps(settings))
    encoder = get_encoder("geneformer", folder, layer=0)
    given = batch_of(encoder)
    bert = transformers.BertModel(
        transformers.BertConfig(**settings, attn_implementation="eager"), add_pooling_layer=False
    ).eval()
    state = load_file(folder / "model.safetensors")
    bert.load_state_dict({name.removeprefix("bert."): part for name, part in state.items()})
    with torch.inference_mode():
        expected = bert(
            input_ids=given.ids, attention_mask=given.real.long(), output_hidden_states=True
        ).hidden_states
        found = encoder.model.hidden_states(given)
    assert len(found) == sizes[3] + 1
    for one, other in zip(found, expected, strict=True):
        assert furthest(one[given.real], other[given.real]) < 5e-6


@pytest.mark.parametrize("name", NAMES)
def test_vectors_have_the_width_of_the_files(name, sizes, tmp_path):
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    found = encoder.embed(tiny_cells())
    assert found.shape == (9, sizes[0] * (4 if name == "scfoundation" else 1))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("special", [("<pad>", "<mask>"), ("<pad>", "<mask>", "<cls>")])
def test_geneformer_without_special_tokens_of_later_versions(special, tmp_path):
    """V1, which has no marks around a cell, and a dictionary with ``<cls>`` alone."""
    folder = tiny_folder("geneformer", tmp_path)
    v2 = batch_of(get_encoder("geneformer", folder))
    state = load_file(folder / "model.safetensors")
    words = "bert.embeddings.word_embeddings.weight"
    state[words] = torch.cat([state[words][: len(special)], state[words][4:]])
    save_file(state, folder / "model.safetensors")
    write_pickle(
        folder / "token_dictionary.pkl",
        {name: number for number, name in enumerate((*special, *GENES))},
    )
    settings = json.loads((folder / "config.json").read_text())
    settings["vocab_size"] = len(special) + len(GENES)
    (folder / "config.json").write_text(json.dumps(settings))
    encoder = get_encoder("geneformer", folder)
    given = batch_of(encoder)
    marks = len(special) - 2
    assert (given.lengths >= v2.lengths - 2 + marks).all()
    assert ((given.genes < 0) & given.real).sum(1).tolist() == [marks] * 5
    states = encoder.model.states(given)
    for row, length in enumerate(given.lengths.tolist()):
        expected = states[row, marks:length].mean(0)
        assert furthest(encoder.model.pool(states, given)[row].detach(), expected.detach()) < 1e-5


def test_scgpt_with_heads_of_pretraining_and_without(tmp_path):
    folder = tiny_folder("scgpt", tmp_path)
    expected = get_encoder("scgpt", folder).embed(tiny_cells())
    state = torch.load(folder / "best_model.pt", weights_only=True)
    more = {
        "flag_encoder.weight": torch.ones(2, 16),
        "mvc_decoder.gene2query.weight": torch.ones(16, 16),
        "mvc_decoder.W.weight": torch.ones(16, 16),
        "cls_decoder._decoder.0.weight": torch.ones(16, 16),
        "cls_decoder.out_layer.bias": torch.ones(3),
    }
    torch.save({**state, **more}, folder / "best_model.pt")
    assert np.array_equal(get_encoder("scgpt", folder).embed(tiny_cells()), expected)
    for begin in ("self_attn._impl.", "self_attn."):
        spelt = {
            name.replace("self_attn.in_proj_", f"{begin}Wqkv.").replace(
                "self_attn.out_proj.", f"{begin}out_proj."
            ): part
            for name, part in state.items()
        }
        torch.save(spelt, folder / "best_model.pt")
        assert np.array_equal(get_encoder("scgpt", folder).embed(tiny_cells()), expected)


def test_scgpt_appends_special_tokens_that_its_dictionary_lacks(tmp_path):
    folder = tiny_folder("scgpt", tmp_path)
    expected = get_encoder("scgpt", folder).embed(tiny_cells())
    vocabulary = json.loads((folder / "vocab.json").read_text())
    for token in ("<eoc>", "<cls>"):
        vocabulary.pop(token)
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
        assert np.array_equal(get_encoder("scgpt", folder).embed(tiny_cells()), expected)
    vocabulary.pop("GENE39")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(CheckpointError, match="do not run from 0 to 39"):
        get_encoder("scgpt", folder)


@pytest.mark.parametrize("left_out", ["use_promoter", "use_peca_grn"])
def test_genecompass_with_fewer_priors_and_without_values(left_out, tmp_path):
    folder = tiny_folder("genecompass", tmp_path)
    before = get_encoder("genecompass", folder).embed(tiny_cells())
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, left_out: False}))
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    name = "bert.embeddings.concat_embeddings.cat_fc.weight"
    start = 17 + 16 * (0 if left_out == "use_promoter" else 3)
    state[name] = torch.cat([state[name][:, :start], state[name][:, start + 16 :]], 1)
    torch.save(state, folder / "pytorch_model.bin")
    found = get_encoder("genecompass", folder).embed(tiny_cells())
    assert furthest(found, before) > 1e-4
    (folder / "config.json").write_text(
        json.dumps({**settings, left_out: False, "use_values": False})
    )
    state[name] = torch.cat([state[name][:, :16], state[name][:, 17:]], 1)
    torch.save(state, folder / "pytorch_model.bin")
    other = get_encoder("genecompass", folder).embed(tiny_cells())
    assert furthest(other, found) > 1e-4


def test_uce_counts_its_layers(tmp_path, monkeypatch):
    for layers in (4, 33):
        monkeypatch.setattr(tiny, "_LAYERS", layers)
        place = tmp_path / str(layers)
        encoder = get_encoder("uce", tiny_folder("uce", place))
        assert len(encoder.model.layers) == layers
        assert np.isfinite(encoder.embed(tiny_cells())).all()
