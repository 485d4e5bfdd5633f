"""The page on the parts of the packaged model shows the study as its rows have it."""

from pathlib import Path

import pytest
import yaml

from sclong_bench.judging.sets import read_sets
from sclong_data.report.standalone import svg_text
from studies.mini.parts import FIGURES, FULL, MEASURES, UNTRAINED, figure, filled_page, read_rows

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parts.md"
STUDY = yaml.safe_load((ROOT / "studies" / "mini" / "parts.yaml").read_text(encoding="utf-8"))


def test_the_table_is_that_of_the_rows():
    text = PAGE.read_text(encoding="utf-8")
    assert "<!-- parts -->" in text
    assert filled_page(text, read_rows()) == text


@pytest.mark.parametrize(("measured", "path"), FIGURES.items())
def test_the_figures_are_those_of_the_rows(measured, path):
    assert (PAGE.parent / path).read_text(encoding="utf-8") == svg_text(
        figure(read_rows(), measured)
    )


def test_every_variant_was_judged_on_every_development_set_with_every_seed():
    sets = {
        one.name for one in read_sets(ROOT / "studies/mini/sets.yaml") if one.role == "development"
    }
    rows = read_rows()
    assert {row.measure for row in rows} == set(MEASURES)
    found = {(row.variant, row.seed, row.data) for row in rows if row.measure == "macro_f1"}
    assert found == {
        (variant, seed, data)
        for variant in (*STUDY["variants"], UNTRAINED)
        for seed in STUDY["seeds"]
        for data in sets
    }
    held_out = {(row.variant, row.seed) for row in rows if row.data == "corpus"}
    assert held_out == {(name, seed) for name in STUDY["variants"] for seed in STUDY["seeds"]}


def test_a_part_that_changes_a_number_is_marked():
    """Without the components that it starts with, the model tells types worse."""
    (line,) = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if "| a vector" in line
    ]
    assert "*" in line.split("|")[3]
    assert FULL in STUDY["variants"]
