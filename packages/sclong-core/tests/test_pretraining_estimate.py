import pytest

from sclong_core.config import PerformerConfig, ScLongConfig
from sclong_core.errors import ConfigError
from sclong_core.pretraining.estimate import (
    Layout,
    PlanConfig,
    activation_bytes,
    count_parameters,
    flops_per_cell,
    plan_rows,
    positions,
    state_bytes,
)


def layout(**changes):
    settings = {
        "nodes": 12,
        "devices": 8,
        "batch_size": 1,
        "accumulation": 200,
        "precision": "bf16-mixed",
        "activation_checkpointing": False,
    }
    return Layout(**{**settings, **changes})


def test_the_papers_model_costs_what_the_design_reckons_with():
    assert flops_per_cell(ScLongConfig()) == pytest.approx(27e12, rel=0.03)
    large = ScLongConfig().large
    dense = 2 * 42 * 4096 * (4 * 1280 * 2048 + 8 * 1280**2)
    favor = 2 * 42 * 4096 * 32 * 266 * (4 * 64 + 2)
    assert (dense, favor) == (pytest.approx(8.1e12, rel=0.01), pytest.approx(0.75e12, rel=0.01))
    assert large.features == 266


def test_flops_of_a_layer_by_hand():
    one = PerformerConfig(dim=4, depth=1, heads=1, dim_head=4, random_features=2)
    config = ScLongConfig(
        genes=9, dim=4, expression_hidden=1, high_genes=3, large=one, mini=one, full=one
    )
    layer = 4 * 4 * 4 + 8 * 16 + 2 * (4 * 4 + 2)
    outside = 3 * 2 * 4 * 4 + 10 * (1 + 4)
    assert positions(config) == {"large": 3, "mini": 7, "full": 10}
    assert flops_per_cell(config) == 3 * 2 * (20 * layer + outside)


def test_parameters_are_counted_without_memory():
    assert count_parameters(ScLongConfig()).all == 1_006_086_461


def test_a_rank_holds_all_or_its_share_and_what_it_fetches():
    found = count_parameters(ScLongConfig())
    one = layout(nodes=1, devices=1)
    assert state_bytes(found, one) == 16 * found.all
    assert state_bytes(found, layout()) == 20 * found.all
    fetched = 4 * (found.outside + 2 * found.largest_layer)
    at_once = layout(sharded=True, accumulation=1)
    assert state_bytes(found, at_once) == -(-4 * found.all // 96) * 4 + fetched
    assert state_bytes(found, layout(sharded=True)) == state_bytes(found, at_once) + 4 * found.all


def test_recomputing_activations_saves_memory():
    config = ScLongConfig()
    kept = activation_bytes(config, layout())
    assert activation_bytes(config, layout(activation_checkpointing=True)) < kept / 10
    # bfloat16 saves no activations: the exponents of FAVOR+ are float32, and copies come on top
    assert activation_bytes(config, layout(precision="32-true")) == pytest.approx(kept, rel=0.02)
    assert (
        1.9 * kept < activation_bytes(config, layout(batch_size=2)) < 2 * kept
    )  # one set of weights


def test_the_plan_of_the_papers_run():
    rows = dict(plan_rows(ScLongConfig(), layout(), PlanConfig(), cells=48_000_000, epochs=5))
    assert rows["parameters"] == "1,006,086,461"
    assert rows["world size"] == "96 (12 nodes x 8 devices)"
    assert rows["effective batch"].startswith("19,200 cells")
    assert rows["steps an epoch"] == "2,500 of 48,000,000 cells"
    assert rows["time in all"] == "6.4 days for 5 epochs"
    unknown = dict(plan_rows(ScLongConfig(), layout(), PlanConfig(), cells=None, epochs=5))
    assert unknown["time"].startswith("unknown")


@pytest.mark.parametrize("wrong", [{"cells": 0}, {"peak_tflops": 0.0}, {"utilisation": 1.5}])
def test_impossible_machines_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"plan\."):
        PlanConfig(**wrong)


def test_a_plan_says_which_cards_hold_it_and_what_recomputing_saves():
    rows = dict(plan_rows(ScLongConfig(), layout(), PlanConfig(), cells=1, epochs=1))
    assert rows["memory a rank"].startswith("66.4 GiB")
    assert rows["GPU"] == "80 GB or more; does not fit on one of 48 GB"
    assert rows["to save memory"].startswith("model.activation_checkpointing=true: 21.2 GiB")
    assert "24 GB or more" in rows["to save memory"]
    again = layout(activation_checkpointing=True)
    assert "to save memory" not in dict(
        plan_rows(ScLongConfig(), again, PlanConfig(), cells=1, epochs=1)
    )
    many = layout(batch_size=64)
    rows = dict(plan_rows(ScLongConfig(), many, PlanConfig(), cells=1, epochs=1))
    assert rows["GPU"] == "does not fit on a card of 141 GB or less"
