import math

import pytest

from sclong_data.report.markup import render
from sclong_data.report.runs import Runs, run_chart, run_legend
from sclong_data.report.svg import Text

TEXT = Text("key", "title", "description")


def marks(element, name, kind):
    return [one for one in element.iter(name) if kind in (one.get("class") or "").split()]


def a_chart(*, enlarged=False):
    lines = [
        Runs("ours", [0.80, 0.82, 0.84], 0.02, published=0.878, emphasis=True),
        Runs("a model with a name that is far too long", [0.70]),
        Runs("broken", [math.nan, math.inf], note="could not be run"),
    ]
    return run_chart(TEXT, lines, label="Pearson", enlarged=enlarged)


def test_every_run_is_a_dot():
    chart = a_chart()
    dots = marks(chart, "circle", "run")
    assert len(dots) == 4
    assert len({dot.get("cy") for dot in dots[:3]}) == 3  # equal runs can be told apart
    assert len(marks(chart, "path", "published")) == 1
    assert "could not be run" in render(chart)


@pytest.mark.parametrize("enlarged", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.05, 0.2, 0.4, 0.7, 0.9])
def test_words_in_place_of_a_value_stand_beside_a_published_mark(value, enlarged):
    lines = [
        Runs("ours", [0.1, 0.8]),
        Runs("other", [], published=value, note="not run"),
        Runs("third", [], note="not run"),
    ]
    chart = run_chart(TEXT, lines, label="y", enlarged=enlarged)
    words, alone = (float(one.get("x")) for one in marks(chart, "text", "missing"))
    (mark,) = marks(chart, "path", "published")
    x = float(mark.get("d").removeprefix("M").split()[0])
    assert not words - 2 < x < words + 45  # as long as the words are
    assert words - 45 < x or words == alone


def test_bars_start_at_zero_and_an_enlarged_figure_has_none():
    bars = marks(a_chart(), "rect", "bar")
    assert len(bars) == 2
    assert bars[0].get("x") == bars[1].get("x")
    assert not marks(a_chart(enlarged=True), "rect", "bar")


def test_long_names_are_shortened_and_kept_whole_for_those_who_point():
    html = render(a_chart())
    assert "\N{HORIZONTAL ELLIPSIS}" in html
    assert "<title>a model with a name that is far too long</title>" in html


@pytest.mark.parametrize("values", [[], [0.0], [-0.5, -0.4], [1e9, 2e9], [math.nan]])
@pytest.mark.parametrize("enlarged", [False, True])
def test_values_of_any_size_can_be_drawn(values, enlarged):
    html = render(run_chart(TEXT, [Runs("x", values)], label="y", enlarged=enlarged))
    assert "nan" not in html
    assert "inf" not in html


def test_the_legend_names_published_values_where_there_are_any():
    assert "published" in render(run_legend(published=True))
    assert "published" not in render(run_legend(published=False))
