"""Equality with the authors' own model, on weights and outputs that it wrote."""

import json

import numpy as np
import pytest
import torch

from sclong_core import ScLong, convert_release
from tests.support.places import shared_folder

GOLDEN = shared_folder("golden")
HIDDEN = -10
UNTIED = slice(0, 4)  # the fifth cell has fewer non-zero genes than the large encoder takes

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(GOLDEN is None, reason="the outputs of the authors' model are not here"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("golden") / "checkpoint"
    return convert_release(
        weights=GOLDEN / "checkpoint.pth",
        hyper_params=GOLDEN / "hyper_params.pkl",
        genes=GOLDEN / "genes.txt",
        gene2vec=GOLDEN / "gene2vec.npy",
        output=output,
    )


@pytest.fixture
def model(folder):
    return ScLong.from_pretrained(folder, device="cpu")


@pytest.fixture(scope="module")
def expected():
    with np.load(GOLDEN / "expected.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def masked_input(expected):
    masked = expected["masked_expression"] == HIDDEN
    return expected["masked_expression"].masked_fill(masked, 0), masked


def assert_equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_representations_and_reconstruction(model, expected):
    with torch.no_grad():
        output = model(expected["expression"])
    assert_equal(output.gene_representations[UNTIED], expected["merged_decodings"][UNTIED, :-1])
    assert_equal(output.reconstruction[UNTIED], expected["reconstruction"][UNTIED, :-1])
    assert torch.equal(output.high_indices[UNTIED], expected["top_indices"][UNTIED])


def test_the_tied_cell_where_its_high_genes_are_given(model, expected):
    with torch.no_grad():
        output = model(expected["expression"], high_indices=expected["top_indices"])
    assert_equal(output.gene_representations, expected["merged_decodings"][:, :-1])
    assert_equal(output.reconstruction, expected["reconstruction"][:, :-1])


def test_masked(model, expected):
    with torch.no_grad():
        output = model(*masked_input(expected), high_indices=expected["masked_top_indices"])
    assert_equal(output.gene_representations, expected["masked_merged_decodings"][:, :-1])
    assert_equal(output.reconstruction, expected["masked_reconstruction"][:, :-1])


def test_losses_and_gradients(model, expected):
    values, masked = masked_input(expected)
    output = model.train()(values[UNTIED], masked[UNTIED])
    labels = expected["labels"][UNTIED]
    losses = torch.stack(
        [
            (output.reconstruction[cell] - labels[cell])[labels[cell] != HIDDEN].square().mean()
            for cell in range(len(labels))
        ]
    )
    torch.testing.assert_close(losses, expected["losses"], rtol=1e-5, atol=0)
    losses.mean().backward()
    theirs = json.loads((GOLDEN / "gradients.json").read_text())["grad_norms"]
    ours = release_gradient_norms(model)
    assert ours.keys() == theirs.keys()
    for name, norm in theirs.items():
        assert ours[name] == pytest.approx(norm, rel=1e-3), name


def test_bfloat16(folder, expected):
    model = ScLong.from_pretrained(folder, device="cpu", dtype="bfloat16")
    with torch.no_grad():
        output = model(expected["expression"], high_indices=expected["top_indices"])
    theirs = expected["merged_decodings"][:, :-1]
    similarity = torch.cosine_similarity(output.gene_representations, theirs, dim=-1)
    assert similarity.min() >= 0.999


def release_gradient_norms(model):
    """Gradient norms under the release's names, with its separate keys and values."""
    whole = {
        "token_emb.fc1": "expression.hidden",
        "token_emb.fc2": "expression.output",
        "token_norm": "expression.norm",
        "mask_emb.weight": "expression.mask",
        "pos_emb.emb.weight": "genes.vectors",
        "go_conv.emb.weight": "genes.graph_vectors",
        "go_conv.sim_layers.0.lin": "genes.graph_linear",
        "base_to_large": "large_input",
        "large_in_norm": "large_input_norm",
        "large_to_base": "large_output",
        "large_to_base_out_norm": "large_output_norm",
        "decode_norm": "full_norm",
        "exp_to_out": "decoder",
    }
    inside = {
        "0.norm": "attention_norm",
        "0.fn.to_out": "attention.output",
        "1.norm": "feed_forward_norm",
        "1.fn.fn.w1": "feed_forward.hidden",
        "1.fn.fn.w2": "feed_forward.output",
    }
    encoders = {"large_encoder": "large", "mini_encoder": "mini", "decoder": "full"}
    gradients = {name: p.grad for name, p in model.named_parameters()}
    norms = {}
    for theirs, ours in encoders.items():
        for layer in range(len(model.encoders()[ours].layers)):
            prefix = f"{theirs}.net.layers.{layer}."
            whole |= {prefix + a: f"{ours}.layers.{layer}.{b}" for a, b in inside.items()}
            attention = f"{ours}.layers.{layer}.attention"
            query = gradients[f"{attention}.query.weight"]
            key, value = gradients[f"{attention}.key_value.weight"].chunk(2)
            for name, part in {"to_q": query, "to_k": key, "to_v": value}.items():
                norms[f"{prefix}0.fn.{name}.weight"] = float(part.norm())
    for theirs, ours in whole.items():
        for suffix in ("", ".weight", ".bias"):
            if ours + suffix in gradients:
                norms[theirs + suffix] = float(gradients[ours + suffix].norm())
    return norms
