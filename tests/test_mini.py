"""The model that ships has the scores on its card, and its page says what was judged."""

from pathlib import Path

import pytest

from sclong_bench.judging.models import Checkpoint
from sclong_bench.judging.page import read_rows
from sclong_bench.judging.sets import read_labelled, read_sets
from sclong_bench.judging.words import Judged, filled_page
from sclong_core.card import ModelCard, read_card
from sclong_core.checkpoint_names import packaged_checkpoint
from sclong_core.manifest import read_checkpoint_info
from sclong_data.dataset_manifest import Manifest
from sclong_tasks.metrics.nearest import tell_types
from tests.support.places import shared_folder

ROOT = Path(__file__).parents[1]
ROWS = ROOT / "benchmarks" / "results" / "mini"
MINI = packaged_checkpoint()
SETS = {one.name: one for one in read_sets(ROOT / "studies" / "mini" / "sets.yaml")}
DATA = shared_folder("data")
F1 = "macro-F1 of types"


def card() -> ModelCard:
    found = read_card(MINI, checkpoint=read_checkpoint_info(MINI).digest)
    assert found is not None
    return found


def test_every_source_on_the_card_is_of_the_manifest_with_study_and_licence():
    entries = {one.dataset: one for one in Manifest.read(ROOT / "studies/mini/corpus.tsv")}
    for source in card().sources:
        assert source.study == entries[source.dataset].study
        assert source.licence == entries[source.dataset].licence
        assert 0 < source.cells <= entries[source.dataset].cells


def test_the_card_has_a_score_for_every_set_of_the_report():
    judged = {score.data for score in card().scores if score.measure == F1}
    assert judged == {"mean", *(one.name for one in SETS.values() if one.role == "report")}


def test_the_page_says_what_the_rows_say():
    page = (ROOT / "docs" / "mini.md").read_text(encoding="utf-8")
    rows = [read_rows(ROWS / f"{role}.json") for role in ("report", "development")]
    assert filled_page(page, Judged(rows[0], rows[1], card(), "scLong-mini")) == page


@pytest.mark.real_data
@pytest.mark.skipif(DATA is None, reason="the real cells are not here")
@pytest.mark.parametrize("name", [one.name for one in SETS.values() if one.role == "report"])
def test_the_shipped_file_has_the_scores_of_its_card(name):
    (score,) = [one for one in card().scores if one.data == name and one.measure == F1]
    cells = read_labelled(SETS[name], DATA)
    found = tell_types(Checkpoint(MINI).embed(cells), cells.types).macro_f1()
    assert score.low <= found <= score.high
    assert found == pytest.approx(score.value, abs=0.01)
