import pytest

from sclong_core.config import InputConfig, ScLongConfig
from sclong_core.errors import ConfigError
from sclong_core.pretraining.config import NetworkConfig, PerformerOverrides
from tests.support.training import small_network


def test_a_preset_alone_is_the_preset():
    built = NetworkConfig(preset="1b").build(27_874, has_graph=True)
    assert built == ScLongConfig()


def test_overrides_change_what_they_name():
    network = NetworkConfig(dim=32, high_genes=50, large=PerformerOverrides(depth=7))
    built = network.build(800, has_graph=True, input_config=InputConfig(maximum=10.0))
    base = ScLongConfig.preset("tiny", genes=800)
    assert (built.dim, built.mini.dim, built.full.dim) == (32, 32, 32)
    assert (built.large.depth, built.large.dim) == (7, base.large.dim)
    assert (built.high_genes, built.input.maximum) == (50, 10.0)


def test_without_a_graph_the_model_does_without():
    assert small_network().build(40, has_graph=False).graph == "none"
    with pytest.raises(ConfigError, match="there is no graph"):
        small_network(graph="edges").build(40, has_graph=False)


def test_another_number_of_genes_is_refused():
    with pytest.raises(ConfigError, match="is 41, but the vocabulary has 40 genes"):
        small_network(genes=41).build(40, has_graph=False)
