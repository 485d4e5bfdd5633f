"""The committed pages of the evidence hold the numbers of the committed rows."""

from pathlib import Path

import pytest

from sclong_bench.evidence.claims import CLAIMS, gains, judgement, summary
from sclong_bench.evidence.collect import read_collected
from sclong_bench.evidence.page import evidence_of, evidence_page
from sclong_bench.evidence.similarity import similarity_figure
from sclong_bench.evidence.suite import read_evidence_suite
from sclong_bench.evidence.tables import gains_table, primary_settings
from sclong_bench.evidence.words import filled_page
from sclong_bench.report.tables import models_table
from sclong_data.report.markup import render
from sclong_data.report.page import page_html
from sclong_data.report.table import table

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="needs the whole repository")


@pytest.fixture(scope="module")
def collected():
    return read_collected(ROOT / "benchmarks/results/evidence")


@pytest.fixture(scope="module")
def evidence(collected):
    return evidence_of(collected)


def test_the_page_of_words_is_what_the_rows_say(collected, evidence):
    page = (ROOT / "docs/small-scale.md").read_text("utf-8")
    assert filled_page(page, evidence, read_evidence_suite(), collected.coverage) == page


def test_what_is_too_little_to_measure_is_counted_and_has_no_number(collected, evidence):
    page = (ROOT / "docs/small-scale.md").read_text("utf-8")
    few = [net for net in collected.coverage.networks if not net.measured]
    assert few
    measured = {setting.scenario for setting in evidence.settings}
    for net in few:
        assert f"{net.cells} {net.network}" not in measured
        assert f"| {net.edges:,} | {net.known} edges" in page


def test_the_report_has_the_clustered_heat_map(collected):
    report = (ROOT / "docs/evidence.html").read_text("utf-8")
    drawn = similarity_figure(collected.similarity)
    assert drawn is not None
    for panel in drawn.panels:
        assert render(panel) in report


def test_the_report_holds_the_tables_that_the_rows_make(evidence):
    report = (ROOT / "docs/evidence.html").read_text("utf-8")
    for claim in CLAIMS:
        assert render(table(gains_table(claim, gains(evidence, claim)))) in report
    shown = [
        setting
        for setting in primary_settings(evidence)
        if setting in evidence.main_settings(setting.task)
    ]
    assert shown
    for setting in shown:
        assert render(table(models_table(evidence, setting))) in report


def test_the_report_loads_nothing(collected):
    text = page_html(evidence_page(collected, read_evidence_suite()))
    assert "default-src 'none'" in text
    assert 'src="http' not in text


def test_every_model_of_the_committed_rows_has_the_same_seeds(evidence):
    assert evidence.lacking.empty
    rows = evidence.results.rows
    seeds = rows[rows["seed"].notna()].groupby("model")["seed"].nunique()
    assert seeds.nunique() == 1


def test_gains_are_above_zero_where_the_full_model_is_better(evidence):
    for claim in CLAIMS:
        found = gains(evidence, claim)
        assert len(found) == len(primary_settings(evidence)) * len(
            {model for model, _ in claim.without} & {one.without for one in found}
        )
        later = {"sclong_shuffled_graph"}  # an ablation that runs of before do not have
        assert {model for model, _ in claim.without} - {one.without for one in found} <= later
        for gain in found:
            assert gain.gain == pytest.approx(gain.full - gain.ablated, abs=1e-9)
            assert gain.low <= gain.gain <= gain.high
        helps = [gain for gain in found if gain.verdict == "helps"]
        assert f"helps in {len(helps)} of {len(found)} settings" in summary(found)
        assert (judgement(found) == "helps") == (len(helps) == len(found))
