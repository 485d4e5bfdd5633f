import json

import pytest
from omegaconf import OmegaConf

from sclong_core import ConfigError, InputConfig, PerformerConfig, ScLongConfig
from sclong_core.config import PRESETS


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("genes", [1, 50, 765, 27_874, 40_000])
def test_presets_are_valid_at_every_vocabulary_size(name, genes):
    config = ScLongConfig.preset(name, genes=genes)
    assert config.genes == genes
    assert 1 <= config.high_genes <= min(genes, 4_096)


def test_1b_is_the_paper():
    config = ScLongConfig.preset("1b")
    assert config == ScLongConfig()
    assert (config.genes, config.high_genes, config.dim) == (27_874, 4_096, 200)
    assert (config.large.dim, config.large.depth, config.large.heads) == (1_280, 42, 32)
    assert config.large.inner == 2_048
    assert config.large.features == 266


def test_round_trip_through_json_and_omegaconf():
    config = ScLongConfig(genes=9, high_genes=3, input=InputConfig(maximum=10.0))
    assert ScLongConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert ScLongConfig.from_dict(OmegaConf.create(config.to_dict())) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"genes": 0}, "genes must be a positive integer"),
        ({"genes": 12.0}, "genes must be a positive integer"),
        ({"genes": True}, "genes must be a positive integer"),
        ({"genes": 10}, r"high_genes \(4096\) must not exceed genes \(10\)"),
        ({"dim": 64}, r"mini.dim \(200\) must equal dim \(64\)"),
        ({"low_expression": "gone"}, "low_expression must be one of"),
        ({"graph": "go"}, "graph must be one of"),
        ({"feature_seed": -1}, "feature_seed"),
        ({"large": {"dim": 64, "depth": 0, "heads": 4}}, "depth must be a positive integer"),
        ({"large": {"dim": 64, "depth": 1, "heads": 4, "dim_head": 2}}, "dim_head"),
        ({"large": {"dim": 64, "depth": 1}}, "heads"),
        ({"large": 3}, "large must be a mapping"),
        ({"input": {"maximum": -1.0}}, "input maximum must be a positive number"),
        ({"input": {"target_sum": float("nan")}}, "input target_sum"),
        ({"hidden": 3}, "unknown setting in model: hidden"),
        ({"input": {"scale": 3}}, "unknown setting in input: scale"),
    ],
)
def test_impossible_settings_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        ScLongConfig.from_dict({**ScLongConfig().to_dict(), **change})


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ConfigError, match="tiny, small, base, 1b"):
        ScLongConfig.preset("huge")


def test_features_can_be_chosen():
    assert PerformerConfig(dim=8, depth=1, heads=2, dim_head=8, random_features=20).features == 20
