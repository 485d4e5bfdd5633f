import numpy as np
import pytest
import torch

from sclong_core import ConfigError, GeneGraph, PerformerConfig, ScLong, ScLongConfig
from sclong_core.ablation import ablate

SIDE = PerformerConfig(dim=16, depth=1, heads=2, dim_head=8)
CONFIG = ScLongConfig(genes=40, dim=16, high_genes=10, large=SIDE, mini=SIDE, full=SIDE)
EDGES = np.stack([np.repeat(np.arange(40), 2), (np.arange(80) * 7) % 40])


@pytest.fixture
def model():
    weights = np.linspace(0.1, 1, EDGES.shape[1], dtype=np.float32)
    keep = np.unique(EDGES[0] * 40 + EDGES[1], return_index=True)[1]
    return ScLong(CONFIG, graph=GeneGraph(40, EDGES[:, keep], weights[keep])).eval()


def cell():
    return torch.rand(1, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "change",
    [
        {"low_expression": "none"},
        {"low_expression": "random"},
        {"graph": "none"},
        {"graph": "random"},
        {"graph": "shuffled"},
    ],
)
def test_an_ablation_changes_the_output_and_leaves_the_original(model, change):
    before = model(cell()).gene_representations
    ablated = ablate(model, **change)
    assert ablated.config != model.config
    after = ablated(cell()).gene_representations
    assert after.isfinite().all()
    assert not torch.allclose(after, before)
    assert torch.equal(model(cell()).gene_representations, before)


@pytest.mark.parametrize(
    "change", [{"low_expression": "random"}, {"graph": "random"}, {"graph": "shuffled"}]
)
def test_what_is_not_ablated_keeps_its_weights(model, change):
    kept = ablate(model, **change).state_dict()
    for name, tensor in model.state_dict().items():
        parameter = not name.endswith("features")
        randomised = change.get("low_expression") and name.startswith("mini.") and parameter
        assert torch.equal(kept[name], tensor) != bool(randomised)


def test_both_at_once_and_in_bfloat16(model):
    ablated = ablate(model.set_dtype(torch.bfloat16), low_expression="none", graph="none")
    assert ablated.dtype == torch.bfloat16
    assert ablated(cell()).gene_representations.isfinite().all()


def test_a_part_cannot_be_brought_back(model):
    with pytest.raises(ConfigError, match="cannot be turned into"):
        ablate(ablate(model, low_expression="none"), low_expression="encoder")
    with pytest.raises(ConfigError, match="cannot be turned into"):
        ablate(ablate(model, graph="none"), graph="random")
    with pytest.raises(ConfigError, match="cannot be turned into"):
        ablate(ablate(model, graph="random"), graph="shuffled")
    with pytest.raises(ConfigError, match="cannot be turned into"):
        ablate(ablate(model, graph="shuffled"), graph="edges")
