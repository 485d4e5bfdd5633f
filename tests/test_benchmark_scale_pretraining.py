"""The page on scale holds what its command computes."""

from benchmarks.scale_pretraining import DOCUMENT, Kept, filled, measure, memory_table
from sclong_core.config import ScLongConfig
from tests.support.training import small_network


def small() -> ScLongConfig:
    return small_network().build(40, has_graph=False)


def test_the_page_is_up_to_date():
    text = DOCUMENT.read_text()
    assert filled(text) == text


def test_activations_are_counted_without_memory():
    kept = measure(small())
    assert 0 < kept.recomputed < kept.all
    assert measure(small(), bfloat16=False).all > kept.all


def test_shards_take_less_than_copies():
    rows = memory_table(ScLongConfig(), Kept(0, 0))
    states = {tuple(row.split(" | ")[:2]): float(row.split(" | ")[2]) for row in rows[2:]}
    assert states["| 96", "FSDP"] < states["| 8", "FSDP"] < states["| 96", "DDP"]
