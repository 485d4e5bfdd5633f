"""Cards of models, as files and on the terminal."""

import json

import pytest

from sclong_core.card import CardScore, CardSource, ModelCard, card_content, read_card
from sclong_core.cli.card import show_card
from sclong_core.errors import CheckpointError

CARD = ModelCard(
    name="made-up",
    checkpoint="a" * 64,
    licence="Apache-2.0",
    summary="for a test",
    visits=12_345,
    not_for=("anything real",),
    findings=("missed: the bar",),
    sources=(
        CardSource("one", "Somebody 2020", "MIT", "blood", 700, "some/where", "abc"),
        CardSource("two", "Nobody 2021", "BSD-3-Clause", "skin", 900, "else/where", "def"),
        CardSource("three", "Somebody 2020", "MIT", "blood", 300, "some/where", "abc"),
    ),
    scores=(
        CardScore("cells", "macro-F1", 0.81, 0.78, 0.84, {"PCA-50": 0.8, "floor": 0.1}),
        CardScore("mean", "macro-F1", 0.81, None, None, {"PCA-50": 0.8}),
    ),
)


def written(folder, **changes):
    (folder / "card.json").write_text(json.dumps({**card_content(CARD), **changes}), "utf-8")
    return folder


def test_a_card_comes_back_as_it_was_written(tmp_path):
    assert read_card(written(tmp_path), checkpoint="a" * 64) == CARD


def test_cells_are_counted_by_tissue():
    assert CARD.cells == 1900
    assert dict(CARD.tissues) == {"blood": 1000, "skin": 900}


def test_a_folder_without_a_card_has_none(tmp_path):
    assert read_card(tmp_path, checkpoint="a" * 64) is None


def test_a_card_of_other_weights_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="describes the checkpoint aaaaaaaaaaaa, not bbb"):
        read_card(written(tmp_path), checkpoint="b" * 64)


@pytest.mark.parametrize(
    "changes",
    [{"sources": [{"dataset": "x"}]}, {"scores": 3}, {"colour": "red"}, {"not_for": None}],
)
def test_what_is_not_a_card_is_refused(tmp_path, changes):
    with pytest.raises(CheckpointError, match="is not a model card"):
        read_card(written(tmp_path, **changes), checkpoint="a" * 64)


def test_text_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "card.json").write_text("[1]", "utf-8")
    with pytest.raises(CheckpointError, match="is not a model card"):
        read_card(tmp_path, checkpoint="a" * 64)


def test_everything_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    show_card(CARD)
    shown = capsys.readouterr().out
    for words in (
        "1,900 cells, 12,345 visits", "blood 1,000, skin 900", "anything real", "missed: the bar",
        "Nobody 2021", "BSD-3-Clause", "0.810 [0.780, 0.840]", "0.800", "else/where",
    ):  # fmt: skip
        assert words in shown
