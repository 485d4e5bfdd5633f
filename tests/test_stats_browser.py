"""The page about a corpus in a real browser: silent, complete, fit for phones and paper."""

import pytest

from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.harmoniser.run import harmonise
from sclong_data.stats.page import write_stats
from tests.support.browser import (
    complaints,
    find_browser,
    letter_heights,
    open_details,
    opened_browser,
    overlapping_texts,
    printed,
    requests,
    texts_outside,
    widths,
)
from tests.support.datasets import SMALL_RULES, made_up_vocabulary, write_datasets

pytestmark = pytest.mark.skipif(
    find_browser() is None,
    reason="no Chromium here: install it (on Debian: apt-get install chromium)",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stats")
    manifest = write_datasets(folder)
    long = DatasetEntry("a-data-set-with-quite-a-long-name", location="a.h5ad", title="T" * 80)
    entries = (*manifest.entries, long, DatasetEntry("gone", location="gone.h5ad"))
    corpus = folder / "corpus"
    harmonise(Manifest(entries, folder), corpus, vocabulary=made_up_vocabulary(), rules=SMALL_RULES)
    write_stats(corpus, folder / "page.html")
    return folder / "page.html"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (360, True)])
def test_the_page_is_silent_and_loads_only_itself(browser, page, width, mobile, dark):
    events = browser.go(page, width=width, mobile=mobile, dark=dark)
    assert complaints(events) == []
    asked = {url for url in requests(events) if not url.startswith("data:")}
    assert asked == {page.as_uri()}


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(browser, page, width, opened):
    browser.go(page, width=width, mobile=width < 768)
    if opened:
        open_details(browser)
    needed, there = widths(browser)
    assert there == width
    assert needed <= there


def test_texts_of_a_figure_do_not_overlap_and_stay_inside(browser, page):
    browser.go(page, width=1280)
    assert overlapping_texts(browser) == []
    assert texts_outside(browser) == []


def test_letters_of_figures_can_be_read_on_a_phone(browser, page):
    browser.go(page, width=390, mobile=True)
    assert min(letter_heights(browser)) >= 8


def test_the_page_prints(browser, page):
    browser.go(page, width=1280)
    pdf = printed(browser)
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000
