"""Figures: well-formed, described, inside their frame, and safe with any name."""

import re
from xml.etree.ElementTree import fromstring

import pytest

from sclong_data.report.bars import Bar, bar_chart
from sclong_data.report.figure import Figure, figure
from sclong_data.report.lines import Series, line_chart
from sclong_data.report.markup import render
from sclong_data.report.scatter import Group, legend, scatter
from sclong_data.report.svg import COLOURS, WIDTH, Text
from sclong_data.report.table import Column, Table

HOSTILE = '"/><script>alert(1)</script>&amp;'
TEXT = Text("key", HOSTILE, f"description {HOSTILE}")


def parse(element):
    return fromstring(render(element))  # noqa: S314  # our own


def drawings():
    points = [(0.0, 1.0), (1.0, 0.5), (2.0, 0.25)]
    series = [Series(HOSTILE, points), Series("b", points[:1])]
    groups = [Group(f"{HOSTILE}{place}", points) for place in range(COLOURS + 1)]
    bars = [Bar(HOSTILE, 0.5, emphasis=True), Bar("b", -0.25), Bar("c", 0.0)]
    return {
        "lines": line_chart(TEXT, series, x_label="x", y_label="y"),
        "logarithmic": line_chart(TEXT, series, x_label="x", y_label="y", logarithmic=True),
        "bars": bar_chart(TEXT, bars, label="x"),
        "scatter": scatter(TEXT, groups, heading=HOSTILE, axes="UMAP"),
        "legend": legend(groups),
    }


@pytest.mark.parametrize("name", drawings())
def test_a_drawing_is_well_formed_and_escapes_names(name):
    drawing = drawings()[name]
    assert "<script" not in render(drawing)
    assert any(HOSTILE in text for text in parse(drawing).itertext())


@pytest.mark.parametrize("name", sorted(drawings().keys() - {"legend"}))
def test_a_drawing_says_what_it_shows(name):
    svg = parse(drawings()[name])
    named = {element.get("id"): element.text for element in svg.iter() if element.get("id")}
    assert svg.get("role") == "img"
    assert [named[key] for key in svg.get("aria-labelledby").split()] == [
        TEXT.title,
        TEXT.description,
    ]


@pytest.mark.parametrize("name", sorted(drawings().keys() - {"legend"}))
def test_a_drawing_stays_in_its_frame(name):
    svg = parse(drawings()[name])
    width, height = map(float, svg.get("viewBox").split()[2:])
    assert width == WIDTH
    for element in svg.iter():
        for key, end in (("x", width), ("x1", width), ("x2", width), ("y", height)):
            assert 0 <= float(element.get(key, 0)) <= end, (element.tag, element.attrib)


def test_a_curve_of_one_point_is_a_dot():
    places = [line.get("points").split() for line in parse(drawings()["lines"]).iter("polyline")]
    assert [len(points) for points in places] == [3, 2]
    assert places[1][0] == places[1][1]


def test_bars_reach_from_zero_on_either_side():
    svg = parse(drawings()["bars"])
    positive, negative, none = (
        (float(bar.get("x")), float(bar.get("width"))) for bar in svg.iter("rect")
    )
    assert negative[0] + negative[1] == pytest.approx(positive[0], abs=0.02)
    assert positive[1] == pytest.approx(2 * negative[1], abs=0.02)
    assert none[1] == 0


def test_every_point_of_a_group_is_drawn():
    svg = parse(drawings()["scatter"])
    paths = [path.get("d") for path in svg.iter("path")]
    assert [path.count("M") for path in paths] == [3] * (COLOURS + 1)
    assert not any(re.search(r"nan|inf|[{}]", path) for path in paths)


def test_groups_beyond_the_colours_differ_by_shape():
    groups = parse(drawings()["scatter"]).findall("path")
    first, last = groups[0], groups[COLOURS]
    assert first.get("class") == last.get("class")
    assert first.get("d") != last.get("d")


def test_equal_points_are_drawn_too():
    svg = render(scatter(TEXT, [Group("a", [(1.0, 1.0)] * 2)], heading="a", axes="UMAP"))
    assert "nan" not in svg


def test_a_figure_has_a_number_a_caption_and_its_numbers():
    content = Figure(
        [drawings()["bars"]], "what it shows", [Table([Column("x", 1)], [[0.5]], caption="t")]
    )
    element = parse(figure(content, 2))
    assert element.get("id") == "figure-2"
    assert "".join(element.find("figcaption").itertext()) == "Figure 2. what it shows"
    assert element.find("details//td") is None  # the first column is a heading of its row
    assert element.find("details//tbody//th").text == "0.5"
