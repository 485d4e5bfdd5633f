import pytest

from benchmarks import combination, turns
from benchmarks.machine import describe_machine


def test_both_ways_compute_the_same_and_the_report_says_so():
    found = [combination.measure(way, 300) for way in combination.WAYS]
    assert turns.difference(found, combination.SAME) < 1e-4
    results = {
        "date": "today",
        "commit": None,
        "load_at_start": None,
        "machine": describe_machine(),
        "turns": 1,
        "largest_difference_of_losses": turns.difference(found, combination.SAME),
        "measurements": [turns.middle(found, way) for way in combination.WAYS],
    }
    text = "\n".join(combination.lines(results))
    for way in combination.WAYS:
        assert f"| {way} |" in text


def test_made_up_drugs_are_as_large_as_real_ones():
    graphs = combination.made_up_drugs(combination.DRUGS)
    assert len(graphs) == combination.DRUGS
    assert len(graphs.x) / len(graphs) == pytest.approx(1138 / 36, rel=0.1)
