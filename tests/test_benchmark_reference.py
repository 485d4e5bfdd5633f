import json

import numpy as np
import pytest
import torch

from benchmarks.reference import ReferenceScLong, reference_names
from sclong_core.config import PerformerConfig, ScLongConfig
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong, load_checkpoint
from sclong_core.release import convert_release
from sclong_core.release.tensors import release_names
from tests.support.places import shared_folder

GENES = 60
FILES = {"weights": "checkpoint.pth", "hyper_params": "hyper_params.pkl", "genes": "genes.txt"}
LABELLED = -10
"""Labels of the golden fixture below which the loss does not count a position."""


@pytest.fixture(scope="module")
def model() -> ScLong:
    """A model whose weights are far enough from their start for every part to matter."""
    generator = np.random.default_rng(0)
    edges = np.argwhere((generator.random((GENES, GENES)) < 0.2) | np.eye(GENES, dtype=bool)).T
    weights = generator.uniform(0.1, 1, edges.shape[1]).astype(np.float32)
    config = ScLongConfig(
        genes=GENES,
        dim=16,
        high_genes=20,
        large=PerformerConfig(dim=32, depth=2, heads=3, dim_head=16),
        mini=PerformerConfig(dim=16, depth=2, heads=2, dim_head=16),
        full=PerformerConfig(dim=16, depth=2, heads=2, dim_head=16),
    )
    model = ScLong(config, graph=GeneGraph(GENES, np.ascontiguousarray(edges), weights))
    draw = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    return model.eval()


@pytest.fixture(scope="module")
def expression() -> torch.Tensor:
    return 5 * torch.rand(1, GENES, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def reference(model) -> ReferenceScLong:
    reference = ReferenceScLong(model.config, model.graph).eval()
    reference.load_from(model)
    return reference


@pytest.fixture(scope="module")
def golden():
    folder = shared_folder("golden")
    if folder is None:
        pytest.skip("the golden fixture is not beside this checkout")
    return folder


@pytest.fixture(scope="module")
def released(golden, tmp_path_factory) -> tuple[ScLong, ReferenceScLong]:
    """The golden weights in our model, and from there in the reference."""
    folder = tmp_path_factory.mktemp("golden") / "model"
    convert_release(**{name: golden / file for name, file in FILES.items()}, output=folder)
    model = load_checkpoint(folder, device="cpu")
    reference = ReferenceScLong(model.config, model.graph).eval()
    reference.load_from(model)
    return model, reference


@pytest.fixture(scope="module")
def expected(golden) -> dict[str, torch.Tensor]:
    with np.load(golden / "expected.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_our_model_computes_what_the_reference_does(model, reference, expression):
    ours, theirs = model(expression), reference(expression)
    assert_close(ours.gene_representations, theirs.gene_representations)
    assert_close(ours.reconstruction, theirs.reconstruction)
    assert set(ours.high_indices[0].tolist()) == set(theirs.high_indices[0].tolist())


def test_our_model_hides_masked_values_as_the_reference_does(model, reference, expression):
    masked = torch.rand(1, GENES, generator=torch.Generator().manual_seed(2)) < 0.3
    ours, theirs = model(expression, masked), reference(expression, masked)
    assert_close(ours.gene_representations, theirs.gene_representations)
    assert not torch.equal(ours.reconstruction, model(expression).reconstruction)


def test_a_reference_that_shares_memory_computes_the_same(model, reference, expression):
    sharing = ReferenceScLong(model.config, model.graph).eval()
    sharing.load_from(model, share=True)
    assert sharing.decoder.weight.data_ptr() == model.decoder.weight.data_ptr()
    assert torch.equal(sharing(expression).reconstruction, reference(expression).reconstruction)


def test_the_reference_refuses_ablations(model):
    config = ScLongConfig.from_dict({**model.config.to_dict(), "graph": "none"})
    with pytest.raises(ValueError, match="ablations"):
        ReferenceScLong(config, model.graph)


@pytest.mark.real_data
@pytest.mark.parametrize("prefix", ["", "masked_"])
@pytest.mark.parametrize("cell", range(5))
def test_the_reference_computes_what_the_release_did(released, expected, cell, prefix):
    _, reference = released
    one = slice(cell, cell + 1)
    forced = expected[f"{prefix}top_indices"][one].long()
    with torch.no_grad():
        output = reference(expected[f"{prefix}expression"][one], high_indices=forced)
    assert_close(output.gene_representations, expected[f"{prefix}merged_decodings"][one, :-1])
    assert_close(output.reconstruction, expected[f"{prefix}reconstruction"][one, :-1])


@pytest.mark.real_data
def test_the_reference_ranks_as_the_release_did(released, expected):
    _, reference = released
    for cell in range(4):  # the fifth has ties, which the release leaves open
        with torch.no_grad():
            high = reference(expected["expression"][cell : cell + 1]).high_indices
        assert set(high[0].tolist()) == set(expected["top_indices"][cell].tolist())


@pytest.mark.real_data
def test_losses_and_gradients_of_the_reference_are_those_of_the_release(golden, released, expected):
    model, reference = released
    losses = []
    for cell in range(4):
        output = reference(expected["masked_expression"][cell : cell + 1])
        labels = expected["labels"][cell]
        counted = labels > LABELLED
        errors = output.reconstruction[0, counted] - labels[counted]
        losses.append(errors.square().mean())
    torch.testing.assert_close(torch.stack(losses), expected["losses"], rtol=1e-5, atol=0)
    torch.stack(losses).mean().backward()
    norms = json.loads((golden / "gradients.json").read_text())["grad_norms"]
    parameters = dict(reference.named_parameters())
    for name, _ in model.named_parameters():
        for released_name, own in zip(release_names(name), reference_names(name), strict=True):
            norm = parameters[own].grad.norm().item()
            assert norm == pytest.approx(norms[released_name], rel=1e-3, abs=1e-9), own
