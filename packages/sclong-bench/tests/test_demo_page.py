"""The page of a run: complete, self-contained, and true to the numbers."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest

from sclong_bench.demo.page import demo_page
from sclong_bench.demo.results import GENE_AND_CELL, PCA, SCLONG, Row, summarise
from sclong_bench.demo.story import (
    accuracy_verdict,
    counted,
    duration,
    reconstruction_verdict,
)
from sclong_data.report.page import page_html


@pytest.fixture(scope="module")
def html(small_demo):
    return (small_demo.folder / "report.html").read_text(encoding="utf-8")


def text_of(html):
    class Text(HTMLParser):
        words = ""

        def handle_data(self, data):
            self.words += data

    reader = Text()
    reader.feed(re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL))
    return reader.words


def test_nothing_is_loaded_from_elsewhere(html):
    assert not re.search(r"https?:|url\(|@import|<script|<iframe|<img|<object", html)
    assert re.findall(r'(?:src|href|srcset|action)="([^"]*)"', html) == ["data:,"]


def test_names_of_cell_types_stay_text(html, small_demo):
    kinds = set(small_demo.outcome.data.cell_types)
    words = text_of(html)
    assert len(kinds) == 3
    assert all(kind in words for kind in kinds)


def test_every_drawing_is_well_formed(html):
    drawings = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(drawings) == 4 + 3
    for drawing in drawings:
        fromstring(drawing)  # noqa: S314  # our own


def test_every_figure_has_a_caption_and_its_numbers(html):
    figures = re.findall(r"<figure.*?</figure>", html, flags=re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert "<figcaption>" in figure
        assert re.search(r"<details>.*<table.*</table>.*</details>", figure, flags=re.DOTALL)


def test_the_page_shows_the_measured_numbers(html, small_demo):
    words = text_of(html).replace("\N{MINUS SIGN}", "-")
    rows = small_demo.outcome.rows
    for measure, method in (("r2", SCLONG), ("r2", GENE_AND_CELL), ("accuracy", PCA)):
        assert f"{summarise(rows, measure, method).mean:.3f}" in words, (measure, method)


def test_the_page_says_what_it_is_not(html):
    words = text_of(html)
    for needed in ("Not Gene2vec, not the Gene Ontology", "No claim", "not certain themselves"):
        assert needed in words


def test_the_page_says_where_it_comes_from(html, small_demo):
    words = text_of(html)
    assert small_demo.outcome.command in words
    assert all(digest in words for digest in small_demo.outcome.digests.values())
    assert all(f"{name} {which}" in words for name, which in small_demo.outcome.versions.items())


def test_every_cell_is_on_both_maps(html):
    paths = re.findall(r'<path d="([^"]*)"[^>]*><title>', html)
    assert sum(path.count("M") for path in paths) == 2 * 120


def changed(outcome, measure, means):
    rows = [row for row in outcome.rows if row.measure != measure]
    rows += [
        Row(measure, name, draw, mean + offset)
        for name, mean in means.items()
        for draw, offset in enumerate((-0.01, 0.01))
    ]
    return replace(outcome, rows=tuple(rows))


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [(0.8, 0.81, "less than"), (0.9, 0.8, "scLong tells"), (0.7, 0.8, "PCA tells")],
)
def test_the_words_on_cell_types_follow_the_numbers(small_demo, ours, theirs, words):
    outcome = changed(small_demo.outcome, "accuracy", {SCLONG: ours, PCA: theirs})
    assert words in accuracy_verdict(outcome)


@pytest.mark.parametrize(("r2", "words"), [(0.6, "60%"), (0.3, "too briefly")])
def test_the_words_on_reconstruction_follow_the_numbers(small_demo, r2, words):
    scores = {SCLONG: r2, GENE_AND_CELL: 0.4, "gene mean": 0.3, "cell mean": 0.1}
    assert words in reconstruction_verdict(changed(small_demo.outcome, "r2", scores))


def test_durations_and_counts_read_well():
    assert [duration(seconds) for seconds in (0.4, 59.6, 125)] == ["0 s", "1 min 0 s", "2 min 5 s"]
    assert [counted(count, "epoch") for count in (1, 2)] == ["1 epoch", "2 epochs"]


def test_a_page_without_spread_is_drawn_too(small_demo):
    flat = replace(
        small_demo.outcome,
        maps={name: np.zeros((120, 2), np.float32) for name in small_demo.outcome.maps},
    )
    assert not re.search(r'="[^"]*\bnan\b', page_html(demo_page(flat)))
