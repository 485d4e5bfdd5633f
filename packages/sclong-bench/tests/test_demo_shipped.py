"""The model that comes with the package in the demonstration."""

from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData

from sclong_bench.demo.page import demo_page
from sclong_bench.demo.results import MINI, PCA, Row
from sclong_bench.demo.run import main_numbers
from sclong_bench.demo.shipped import Shipped, embed_shipped, knows_genes
from sclong_bench.demo.story import shipped_verdict
from sclong_core.checkpoint_names import packaged_checkpoint
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.report.page import page_html


def test_cells_by_symbol_are_embedded():
    symbols = [
        name
        for name in GeneVocabulary.read(packaged_checkpoint() / "vocabulary.tsv").symbols
        if name
    ]
    values = np.random.default_rng(0).poisson(1.0, size=(6, 400)).astype(np.float32)
    cells = AnnData(np.log1p(values / values.sum(1, keepdims=True) * 1e4))
    cells.var_names = sorted(set(symbols))[:400]
    found = embed_shipped(cells)
    assert found is not None
    assert len(found.points) == 6
    assert np.isfinite(found.points).all()
    assert found.cells > 0


def test_genes_that_it_does_not_know_leave_it_out_with_a_word(small_demo, caplog):
    assert not knows_genes(small_demo.outcome.data.cells)
    assert embed_shipped(small_demo.outcome.data.cells) is None
    assert "is left out" in caplog.text
    assert small_demo.outcome.shipped is None
    assert next(name for name, _ in main_numbers(small_demo.outcome)) == "held-out R2"


def with_shipped(outcome, accuracy, *, same_study=True):
    points = np.zeros((120, 3), dtype=np.float32)
    rows = [
        Row("accuracy", MINI, draw, accuracy + step) for draw, step in enumerate((-0.01, 0.0, 0.01))
    ]
    maps = {MINI: np.random.default_rng(0).normal(size=(120, 2)), **outcome.maps}
    return replace(
        outcome,
        shipped=Shipped(points, "a" * 64, 1234, same_study),
        rows=(*outcome.rows, *rows),
        maps=maps,
    )


@pytest.mark.parametrize(
    ("same_study", "words"), [(True, "same study"), (False, "No cell of the study")]
)
def test_the_page_begins_with_it_and_says_what_it_was_trained_on(small_demo, same_study, words):
    html = page_html(demo_page(with_shipped(small_demo.outcome, 0.9, same_study=same_study)))
    for needed in (MINI, "1,234 cells of other data sets", words, "90.0%", "sclong embed"):
        assert needed in html
    assert html.index("Maps of the cells") < html.index("learns from scratch")


@pytest.mark.parametrize(
    ("ours", "words"), [(2.0, f"{MINI} is better"), (-2.0, f"{PCA} is better")]
)
def test_the_words_follow_the_numbers(small_demo, ours, words):
    assert words in shipped_verdict(with_shipped(small_demo.outcome, ours))


def test_the_terminal_says_it_first(small_demo):
    assert main_numbers(with_shipped(small_demo.outcome, 0.9))[0][0] == MINI
