from xml.etree.ElementTree import fromstring

import pytest

from sclong_data.report.markup import render, tag
from sclong_data.report.table import Column, Ranked, Table, number, table


def cells(content, path):
    element = fromstring(render(table(content)))  # noqa: S314  # our own
    return [
        [("".join(cell.itertext()), cell.get("class")) for cell in row]
        for row in element.iterfind(f".//{path}/tr")
    ]


def test_numbers_are_aligned_with_the_same_decimals():
    content = Table([Column("name"), Column("value", 2)], [["a", -1.005], ["b", 1234.5]])
    assert cells(content, "tbody") == [
        [("a", None), ("\N{MINUS SIGN}1.00", "number")],
        [("b", None), ("1,234.50", "number")],
    ]
    assert cells(content, "thead") == [[("name", None), ("value", "number")]]


def test_cells_may_be_empty_or_hold_elements():
    content = Table([Column("x"), Column("y", 1)], [[tag("code", "<a>"), None]])
    assert cells(content, "tbody") == [[("<a>", None), ("", "number")]]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        table(Table([Column("x"), Column("y")], [["a"]]))


def test_the_first_column_names_its_row_and_one_row_may_stand_out():
    html = render(table(Table([Column("x")], [["a"], ["b"]], caption="c", best=1)))
    assert html.count('scope="row"') == 2
    assert html.count('<tr class="best">') == 1
    assert '<p class="caption" aria-hidden="true">c</p><table aria-label="c">' in html


@pytest.mark.parametrize(
    ("value", "text"), [(-0.0004, "0.000"), (-0.0006, "\N{MINUS SIGN}0.001"), (0.5, "0.500")]
)
def test_nothing_is_minus_zero(value, text):
    assert number(value, 3) == text


def test_cells_are_ordered_by_numbers_that_they_need_not_show():
    content = Table(
        [Column("x"), Column("y", 1), Column("p", right=True)],
        [["a", 0.25, Ranked("< .001", 0.0004)], ["b", None, Ranked("none", float("nan"))]],
        sortable=True,
    )
    html = render(table(content))
    assert '<table class="sortable">' in html
    assert '<td class="number" data-by="0.25">0.2</td>' in html
    assert '<td class="number" data-by="0.0004">&lt; .001</td>' in html
    assert '<td class="number">none</td>' in html
