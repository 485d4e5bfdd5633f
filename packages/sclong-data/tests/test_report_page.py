import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from sclong_data.report.figure import Figure
from sclong_data.report.lines import Series, line_chart
from sclong_data.report.markup import tag
from sclong_data.report.page import Page, Section, page_html, write_page
from sclong_data.report.svg import Text
from sclong_data.report.table import Column, Table

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balanced(HTMLParser):
    """Holds that every element is closed in its turn."""

    def __init__(self):
        super().__init__()
        self.open, self.ids = [], []

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def a_page(name="<i>x</i>"):
    def chart(key):
        line = line_chart(
            Text(key, name, name), [Series(name, [(0, 1), (1, 2)])], x_label="x", y_label="y"
        )
        return Figure([line], name, [Table([Column(name)], [[name]])])

    return Page(
        title=name,
        lede=name,
        summary=tag("dl"),
        sections=[
            Section("one", [name, chart("a"), Table([Column("x")], [["y"]])]),
            Section("two", [chart("b"), tag("ul")]),
        ],
    )


def test_the_page_is_balanced_and_ids_are_unique():
    reader = Balanced()
    reader.feed(page_html(a_page()))
    reader.close()
    assert not reader.open
    assert len(reader.ids) == len(set(reader.ids)) > 0


def test_names_stay_text():
    html = page_html(a_page())
    assert "<i>" not in html
    assert "&lt;i&gt;x&lt;/i&gt;" in html


def test_figures_are_numbered_through():
    assert re.findall(r'id="figure-(\d)"', page_html(a_page())) == ["1", "2"]


def test_nothing_is_loaded_from_elsewhere():
    html = page_html(a_page())
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<iframe|<img", html)
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["data:,"]
    assert "default-src 'none'" in html


def test_a_page_with_sortable_tables_has_one_script_and_names_it_by_its_hash():
    page = Page("t", "l", [Section("s", [Table([Column("x")], [["y"]], sortable=True)])])
    html = page_html(page)
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "script-src" not in page_html(a_page())


def test_a_long_page_lists_its_sections():
    page = Page("t", "l", [Section("<one>", []), Section("two", [])], contents=True)
    html = page_html(page)
    assert re.findall(r'href="#(section-\d)"', html) == ["section-1", "section-2"]
    assert re.findall(r'<section id="(section-\d)"', html) == ["section-1", "section-2"]
    assert "&lt;one&gt;</a>" in html


def test_the_page_is_made_for_phones_paper_and_dark_rooms():
    html = page_html(a_page())
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in html
    assert "@media print" in html
    assert "prefers-color-scheme: dark" in html
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')


def test_a_failure_leaves_the_former_page(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_page(path, a_page("first"))
    monkeypatch.setattr("sclong_data.report.page.page_html", lambda page: "\ud800")
    with pytest.raises(UnicodeEncodeError):
        write_page(path, a_page("second"))
    assert "first" in path.read_text(encoding="utf-8")
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


def themes():
    """The colours of each theme: light, dark, printed."""
    style = files("sclong_data.report").joinpath("report.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    return [dict(re.findall(r"--(\w+): #(\w+);", block)) for block in blocks]


def luminance(colour):
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark", "print"])
def test_colours_can_be_told_from_the_paper(theme):
    """As WCAG 2 asks: 4.5 for text, 3 for marks."""
    for name in ("ink", "quiet", "accent"):
        assert contrast(theme[name], theme["paper"]) >= 4.5, name
    for name in ("other", *(f"c{number}" for number in range(1, 11))):
        assert contrast(theme[name], theme["paper"]) >= 3, name
