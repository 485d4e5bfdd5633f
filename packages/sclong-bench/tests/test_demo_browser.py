"""The page in a real browser: silent, complete without a network, and fit for phones and paper."""

import pytest

from tests.support.browser import (
    complaints,
    letter_heights,
    open_details,
    overlapping_texts,
    printed,
    requests,
    widths,
)


@pytest.fixture(scope="module")
def page(small_demo):
    return small_demo.folder / "report.html"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (390, True), (320, True)])
def test_the_page_is_silent_and_loads_only_itself(browser, page, width, mobile, dark):
    events = browser.go(page, width=width, mobile=mobile, dark=dark)
    assert complaints(events) == []
    asked = requests(events)
    assert page.as_uri() in asked
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}


def test_the_browser_would_report_what_it_is_asked_to_report(browser, tmp_path):
    """The check above can fail: a page with a script and a picture from elsewhere is noticed."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><title>x</title><img src='https://example.invalid/x.png'>"
        "<script>console.error('x')</script>"
    )
    events = browser.go(bad, width=800)
    assert complaints(events)
    assert "https://example.invalid/x.png" in requests(events)


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(browser, page, width, opened):
    browser.go(page, width=width, mobile=width < 768)
    if opened:
        open_details(browser)
    needed, there = widths(browser)
    assert there == width
    assert needed <= there


def test_all_figures_are_drawn_in_their_space(browser, page):
    browser.go(page, width=390, mobile=True)
    sizes = browser.evaluate(
        "[...document.querySelectorAll('figure .panels > svg')].map(svg => {"
        " const box = svg.getBoundingClientRect(); return [box.width, box.height] })"
    )
    assert len(sizes) == 4
    assert all(width > 300 and height > 100 for width, height in sizes)


def test_letters_of_figures_can_be_read_on_a_phone(browser, page):
    browser.go(page, width=390, mobile=True)
    assert min(letter_heights(browser)) >= 8


def test_texts_of_a_figure_do_not_overlap(browser, page):
    browser.go(page, width=1280)
    assert overlapping_texts(browser) == []


def test_colours_follow_the_theme(browser, page):
    ask = "getComputedStyle(document.body).backgroundColor"
    colours = []
    for dark in (False, True):
        browser.go(page, width=800, dark=dark)
        colours.append(browser.evaluate(ask))
    assert colours == ["rgb(253, 253, 251)", "rgb(21, 24, 28)"]


def test_the_page_prints(browser, page):
    browser.go(page, width=1280)
    pdf = printed(browser)
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000
