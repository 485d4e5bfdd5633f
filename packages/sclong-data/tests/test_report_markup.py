from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sclong_data.report.markup import clean, fill, plain_number, render, tag


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


@given(st.text(), st.text())
def test_no_text_becomes_markup(text, attribute):
    seen = read(render(tag("p", text, title=attribute)))
    assert seen.tags == ["p"]
    assert seen.attributes == [("title", clean(attribute))]
    assert seen.text == clean(text)


def test_text_and_elements_keep_their_order():
    element = tag("p", "a", "b", tag("b", "c"), "d", "e", tag("i"), "f")
    assert render(element) == "<p>ab<b>c</b>de<i></i>f</p>"


def test_attributes_are_spelt_as_html_has_them():
    assert render(tag("i", class_="x", stroke_width=1.5, viewBox="0 0 1 1")) == (
        '<i class="x" stroke-width="1.5" viewBox="0 0 1 1"></i>'
    )


@pytest.mark.parametrize("hidden", ["\x00", "\x1b", "\u202e", "\u200b", "\ud800"])
def test_what_no_reader_should_meet_is_replaced(hidden):
    assert clean(f"a{hidden}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (-0.001, "0"), (1.005, "1"), (-2.5, "-2.5"), (1e6, "1000000")]
)
def test_coordinates_are_short(value, text):
    assert plain_number(value) == text


def test_filling_appends():
    assert render(fill(tag("p", "a"), ["b", tag("i")])) == "<p>ab<i></i></p>"
