import pytest

from sclong_bench.demo.results import Row, as_json, summarise, values_of

ROWS = [
    Row("r2", "b", 1, 0.4),
    Row("r2", "b", 0, 0.2),
    Row("r2", "a", 0, 0.1),
    Row("accuracy", "a", 0, 0.9),
]


def test_values_come_in_order_of_their_draws():
    assert values_of(ROWS, "r2", "b") == (0.2, 0.4)


def test_the_deviation_is_that_of_a_sample():
    found = summarise(ROWS, "r2", "b")
    assert found.mean == pytest.approx(0.3)
    assert found.deviation == pytest.approx(0.02**0.5)
    assert summarise(ROWS, "r2", "a").deviation == 0


def test_rows_are_plain_values():
    assert as_json(ROWS)[0] == {"measure": "r2", "method": "b", "draw": 1, "value": 0.4}
