"""The report in a real browser: silent, complete, sortable, fit for phones and paper."""

import base64

import pandas as pd
import pytest

from sclong_bench.report.comparison import gather
from sclong_bench.report.page import write_report
from sclong_bench.results.reading import Results, read_results
from sclong_bench.results.schema import tidy
from tests.support.browser import (
    complaints,
    letter_heights,
    open_details,
    overlapping_texts,
    requests,
    texts_outside,
    widths,
)


@pytest.fixture(scope="module")
def page(made_up_runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, gather(read_results(made_up_runs)))
    return path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (360, True)])
def test_the_page_is_silent_and_loads_only_itself(browser, page, width, mobile, dark):
    events = browser.go(page, width=width, mobile=mobile, dark=dark)
    assert complaints(events) == []
    asked = {url for url in requests(events) if not url.startswith("data:")}
    assert asked == {page.as_uri()}


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(browser, page, width, opened):
    browser.go(page, width=width, mobile=width < 768)
    if opened:
        open_details(browser)
    needed, there = widths(browser)
    assert there == width
    assert needed <= there


COLUMN = (
    "[...document.querySelectorAll('table.sortable')][{table}].tBodies[0].rows"
    "].map(row => row.cells[{column}].dataset.by ?? row.cells[{column}].textContent)"
)


def column(browser, table, number):
    place = COLUMN.replace("{table}", str(table)).replace("{column}", str(number))
    return browser.evaluate(f"[...{place}")


def click(browser, table, number):
    browser.evaluate(
        f"document.querySelectorAll('table.sortable')[{table}].tHead.rows[0]"
        f".cells[{number}].querySelector('button').click()"
    )


def test_tables_sort_by_number_and_by_name(browser, page):
    browser.go(page, width=1280)
    models, ours = 1, 2
    before = column(browser, models, 0)
    click(browser, models, ours)
    values = column(browser, models, ours)
    numbers = [float(value) for value in values if value.replace(".", "", 1).isdigit()]
    assert len(numbers) == 4
    assert numbers == sorted(numbers)
    assert all("not run" in value for value in values[len(numbers) :])  # no number: at the end
    click(browser, models, ours)
    turned = column(browser, models, ours)
    assert [float(value) for value in turned[: len(numbers)]] == numbers[::-1]
    assert "not run" in turned[-1]
    click(browser, models, 0)
    assert column(browser, models, 0) == sorted(before, key=str.casefold)
    states = browser.evaluate(
        "[...document.querySelectorAll('table.sortable')[1].tHead.rows[0].cells]"
        ".map(cell => cell.getAttribute('aria-sort'))"
    )
    assert states[0] == "ascending"
    assert set(states[1:]) == {None}


def test_headings_can_be_reached_by_keyboard(browser, page):
    browser.go(page, width=1280)
    browser.evaluate("document.querySelector('table.sortable thead button').focus()")
    assert browser.evaluate("document.activeElement.tagName") == "BUTTON"


def test_another_script_would_not_run(browser, page, tmp_path):
    """The policy admits one script by its hash; a planted one is stopped and complained about."""
    text = page.read_text(encoding="utf-8")
    planted = tmp_path / "planted.html"
    planted.write_text(text.replace("</body>", "<script>document.title = 'x'</script></body>"))
    events = browser.go(planted, width=800)
    assert browser.evaluate("document.title") != "x"
    assert complaints(events)


def test_letters_of_figures_can_be_read_on_a_phone(browser, page):
    browser.go(page, width=360, mobile=True)
    assert min(letter_heights(browser)) >= 8


def test_texts_of_a_figure_do_not_overlap_and_stay_inside(browser, page):
    browser.go(page, width=1280)
    drawn = "figure .panels > svg"
    assert overlapping_texts(browser, drawn) == []
    assert texts_outside(browser, drawn) == []


ON_PAPERS = {
    "task": "drug_response",
    "metric": "pearson",
    "scenario": "random",
    "data_set": "paper",
}
NEAR = [
    {**ON_PAPERS, "model": model, "seed": seed, "value": value}
    for model, value in (("scLong", 0.86), ("deepcdr", 0.84))
    for seed in (1, 2)
]
"""Beside what the paper has for models that were not run: the lowest of it is at the left edge."""


def test_words_of_models_that_were_not_run_are_beside_their_published_mark(browser, tmp_path):
    write_report(tmp_path / "near.html", gather(Results(tidy(pd.DataFrame(NEAR)), "made up")))
    browser.go(tmp_path / "near.html", width=1280)
    words, covered = browser.evaluate(
        "(() => { const found = [...document.querySelectorAll('svg .missing')].map(text => {"
        " const mark = text.parentNode.querySelector('.published')?.getBoundingClientRect();"
        " const box = text.getBoundingClientRect();"
        " return Boolean(mark && mark.right > box.left && mark.left < box.right) });"
        " return [found.length, found.filter(Boolean).length] })()"
    )
    assert words >= 8
    assert covered == 0


@pytest.mark.parametrize("dark", [False, True])
def test_no_table_is_cut_on_a_wide_screen(browser, page, dark):
    browser.go(page, width=1280, dark=dark)
    open_details(browser)
    assert cut_tables(browser) == []


def test_no_table_is_cut_where_each_task_has_a_reference_of_its_own(browser, tmp_path):
    tasks = {
        "drug_combination": ("logistic_regression", "pair_prior", "sclong_random_low_expression"),
        "batch_integration": ("pca", "raw", "random_sclong_expression_weighted"),
    }
    rows = [
        {"task": task, "metric": "graph_connectivity", "protocol": "published", "model": model}
        | {"scenario": "independent", "seed": seed, "value": place / 9 + seed / 100}
        for task, models in tasks.items()
        for place, model in enumerate(models)
        for seed in (1, 2)
    ]
    write_report(tmp_path / "two.html", gather(Results(tidy(pd.DataFrame(rows)), "made up")))
    browser.go(tmp_path / "two.html", width=1280)
    assert browser.evaluate("document.querySelectorAll('td small').length") > 0
    assert cut_tables(browser) == []


def cut_tables(browser):
    return browser.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
        ".map(e => [e.scrollWidth, e.clientWidth, e.querySelector('thead').textContent])"
    )


def test_pictures_and_figures_have_words(browser, page):
    browser.go(page, width=800)
    without = browser.evaluate(
        "[...document.querySelectorAll('img:not([alt]), svg[role=img]:not(:has(title))')].length"
    )
    assert without == 0


def test_the_page_prints(browser, page):
    browser.go(page, width=1280)
    printed = browser.call("Page.printToPDF", printBackground=True)
    assert base64.b64decode(printed["data"]).startswith(b"%PDF-")
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert (
        browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    )
    browser.call("Emulation.setEmulatedMedia", media="")
