"""The page on fine-tuning says what its rows say."""

from pathlib import Path

from studies.annotation.judge import LABELS
from studies.finetuning.judge import COMMONEST, HELD_OUT, LOGISTIC, NAMES, filled_page, read_rows

PAGE = Path(__file__).parents[1] / "docs" / "finetuning.md"


def test_tables_are_those_of_the_rows():
    text = PAGE.read_text(encoding="utf-8")
    assert filled_page(text, read_rows()) == text


def test_every_study_was_predicted_by_a_head_and_by_its_baselines():
    rows = read_rows()
    for method in (NAMES["head"], LOGISTIC, COMMONEST):
        judged = {(row.reference, row.query) for row in rows if row.method == method}
        wanted = {(one, other) for one in LABELS for other in LABELS if one != other}
        assert wanted | {(one, HELD_OUT) for one in LABELS} <= judged
