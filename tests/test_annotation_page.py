"""The page on annotation says what its rows say, and the judged labels are those of the sets."""

from pathlib import Path

from sclong_bench.judging.sets import read_sets
from sclong_data.report.standalone import svg_text
from studies.annotation.judge import FRESH, LABELS, SEEDS, SETS, SORTED, read_rows
from studies.annotation.page import FIGURE, METHODS, figure, filled_page

PAGE = Path(__file__).parents[1] / "docs" / "annotating.md"


def test_tables_and_figure_are_those_of_the_rows():
    text, rows = PAGE.read_text(encoding="utf-8"), read_rows()
    assert filled_page(text, rows) == text
    assert svg_text(figure(rows)) == FIGURE.read_text(encoding="utf-8")


def test_every_pair_of_studies_was_judged_by_every_method_and_seed():
    rows = [row for row in read_rows() if row.measure == "accuracy"]
    judged = {(row.reference, row.query, row.method) for row in rows if row.kind != "within"}
    queries = (*LABELS, *FRESH)
    assert judged == {
        (one, other, method)
        for one in LABELS
        for other in queries
        for method in METHODS
        if one != other
    }
    assert {len(row.values) for row in rows} == {1, len(SEEDS)}


def test_stated_rates_are_kept_within_a_study():
    for row in read_rows():
        if (row.kind, row.measure) == ("within", "covered"):
            assert row.mean > 0.94
        if (row.kind, row.measure) == ("within", "falsely_unknown"):
            assert row.mean < 0.07


def test_judged_studies_are_sets_that_the_model_never_saw():
    assert set(LABELS) | set(FRESH) <= {one.name for one in (*read_sets(SETS), SORTED)}
