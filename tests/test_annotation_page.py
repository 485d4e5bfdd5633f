"""The page on annotation says what its rows say, and the judged labels are those of the sets."""

from pathlib import Path

from studies.annotation.judge import LABELS, SETS, filled_page, read_rows

from sclong_bench.judging.sets import read_sets

PAGE = Path(__file__).parents[1] / "docs" / "annotating.md"


def test_the_tables_are_those_of_the_rows():
    text = PAGE.read_text(encoding="utf-8")
    assert filled_page(text, read_rows()) == text


def test_every_pair_of_studies_was_judged():
    judged = {(row.reference, row.query) for row in read_rows()}
    assert judged == {(one, other) for one in LABELS for other in LABELS if one != other}


def test_judged_studies_are_sets_that_the_model_never_saw():
    assert set(LABELS) <= {one.name for one in read_sets(SETS)}
