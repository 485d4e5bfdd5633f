"""The page about a corpus."""

import re

import pytest

from sclong_core.cli.main import main
from sclong_core.errors import InputError
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.harmoniser.run import harmonise
from sclong_data.report.page import page_html
from sclong_data.stats import figures, page, summary
from tests.support.datasets import SMALL_RULES, made_up_vocabulary, write_datasets


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stats")
    manifest = write_datasets(folder)
    others = (
        DatasetEntry("gone", location="gone.h5ad"),
        DatasetEntry("mouse", location="a.h5ad", organism="Mus musculus", title="<b>M</b>"),
    )
    entries = Manifest((*manifest.entries, *others), folder)
    harmonise(entries, folder / "corpus", vocabulary=made_up_vocabulary(), rules=SMALL_RULES)
    return folder / "corpus"


@pytest.fixture(scope="module")
def found(corpus):
    return summary.CorpusSummary.read(corpus)


def test_all_cells_are_accounted_for(found):
    assert found.cells_in == 160
    assert found.index.cells + sum(found.out.values()) == found.cells_in
    assert list(found.out)[-1] == "duplicate"
    assert found.out["other organism"] == 40


def test_histograms_and_annotation_count_every_stored_cell(found):
    stored = sum(record.cells for record in found.index.shards)
    assert sum(found.counted("genes_a_cell").values()) == stored
    assert sum(found.annotated("tissue").values()) == stored
    raw = sum(row["cells"]["stored"] for row in found.kept if row["normalisation"] == "raw")
    assert sum(found.counted("counts_a_cell").values()) == raw


def test_the_rest_of_many_values_is_one_and_unknown_comes_last():
    counts = {"unknown": 9, "a": 5, "b": 4, "c": 3, "d": 1}
    assert summary.shortened(counts, 2) == {"a": 5, "b": 4, "2 others": 4, "unknown": 9}
    assert summary.shortened({"a": 5, "b": 4}, 1) == {"a": 5, "b": 4}


def test_the_page_says_what_became_of_each_data_set(found):
    html = page_html(page.stats_page(found))
    for said in (
        "A corpus of 106 cells",
        "3 of 5 data sets are in this corpus; 1 is left out by the rules and 1 could not be read",
        "10 cells are stored exactly like another one",
        "the manifest says Mus musculus",
        "gone.h5ad does not exist",
        "Ensembl id of the vocabulary",
        found.index.digest,
    ):
        assert said in html
    assert "<script" not in html
    assert "<b>M" not in html
    assert not re.search(r"(src|href)=.https?:", html)


def test_a_figure_is_left_out_where_nothing_is_known(found):
    assert figures.annotation_figure(found, {"disease": "Disease"}) is None
    assert figures.annotation_figure(found, {"tissue": "Tissue"}) is not None


def test_the_command_writes_the_page(corpus, tmp_path, capsys):
    assert main(["data", "stats", str(corpus), "-o", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert "106 cells of 3 data sets" in capsys.readouterr().out


def test_a_folder_without_a_corpus_is_refused(tmp_path, capsys):
    with pytest.raises(InputError, match=r"no corpus\.json"):
        page.write_stats(tmp_path, tmp_path / "page.html")
    assert main(["data", "stats", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 2


def test_an_empty_corpus_has_a_page(tmp_path):
    manifest = write_datasets(tmp_path)
    harmonise(manifest, tmp_path / "corpus", vocabulary=made_up_vocabulary())
    page.write_stats(tmp_path / "corpus", tmp_path / "page.html")
    assert "A corpus of 0 cells" in (tmp_path / "page.html").read_text()
