import pytest

from benchmarks import grn
from benchmarks.machine import describe_machine


def test_the_solve_and_the_inverse_compute_the_same():
    inverse, solve = (grn.measure(way, 30) for way in grn.SAME)
    for name in ("first_loss", "last_loss"):
        assert inverse[name] == pytest.approx(solve[name], rel=1e-4)
    assert grn.measure("sclong-tasks, factors", 30)["factors"] == 2


def test_the_report_has_a_line_for_each_way():
    measured = [grn.measure(way, 20) for way in grn.WAYS]
    results = {
        "date": "2026-01-01",
        "commit": "",
        "machine": describe_machine(),
        "load_at_start": None,
        "turns": 1,
        "largest_difference_of_losses": 0.0,
        "measurements": measured,
    }
    text = "\n".join(grn.lines(results))
    assert all(f"| {way} |" in text for way in grn.WAYS)
