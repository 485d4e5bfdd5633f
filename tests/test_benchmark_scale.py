"""The simulations of large sizes on small ones; each checks what it makes."""

import pytest

from benchmarks.scale import duplicates, loader, plan, report, weighted


@pytest.mark.parametrize("cells", [1, 15, 5_000])
def test_every_cell_is_read_once_by_one_rank(cells):
    assert loader(cells, ranks=7, samples=3)["checked"] > 0


def test_all_parts_run_and_are_reported():
    found = {
        "loader": loader(3_000, ranks=16, samples=2),
        "weighted": weighted(1_000),
        "duplicates": duplicates(1_000),
        "plan": plan(20),
    }
    assert found["duplicates"]["gone"] == 100
    assert "| a suite of 10,000 runs planned" in "\n".join(report(found))
