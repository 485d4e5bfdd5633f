import pytest
from benchmarks import combination


def test_both_ways_compute_the_same_and_the_report_says_so():
    found = [combination.measure(way, 300) for way in combination.WAYS]
    assert combination._difference(found) < 1e-4
    results = {
        "date": "today",
        "commit": None,
        "load_at_start": None,
        "machine": combination.describe_machine(),
        "turns": 1,
        "largest_difference_of_losses": combination._difference(found),
        "measurements": [combination._middle(found, way) for way in combination.WAYS],
    }
    text = "\n".join(combination.lines(results))
    for way in combination.WAYS:
        assert f"| {way} |" in text


def test_made_up_drugs_are_as_large_as_real_ones():
    graphs = combination.made_up_drugs(combination.DRUGS)
    assert len(graphs) == combination.DRUGS
    assert len(graphs.x) / len(graphs) == pytest.approx(1138 / 36, rel=0.1)
