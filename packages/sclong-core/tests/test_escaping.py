"""One function a target, fed with every name that could mean something there."""

import re
import unicodedata

import pandas as pd
import pytest

from sclong_core.escaping import (
    for_latex,
    for_markdown,
    for_spreadsheet,
    for_terminal,
    from_spreadsheet,
    table_for_spreadsheet,
    visible,
)
from tests.support.names import HOSTILE_NAMES

PLAIN = (
    "sclong",
    "CD8+ T cell",
    "Zellen über 3 µm",
    "日本",
    "a_b (c)",
    "R2",
    "\N{MINUS SIGN}0.5",
    "0.878",
)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_names_stay_as_they_are(name):
    assert (
        visible(name) == for_terminal(name) == for_spreadsheet(name) == for_markdown(name) == name
    )


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_nothing_that_is_not_seen_is_left(name):
    for safe in (visible, for_terminal, for_markdown, for_latex, for_spreadsheet):
        text = safe(name)
        kinds = {unicodedata.category(character) for character in text}
        assert not kinds & {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}, (safe, text)
        text.encode("utf-8")


def test_what_was_there_can_be_read():
    assert visible("\x1b[31mred\n\u202e\ufeff") == r"\x1b[31mred\n\u202e\ufeff"
    assert visible("caf\udce9.h5ad") == r"caf\xe9.h5ad"
    assert for_terminal("a\tb\x07\nc", lines=True) == "a\tb\\x07\nc"


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd",
        "-cmd",
        "@sum(1)",
        " =1",
        "'=1",
        "''=1",
        "\uff1d1",
        "-2+3",
        "--",
        "-",
        "-1e3x",
    ],
)
def test_formulas_become_text_and_come_back(text):
    assert for_spreadsheet(text) == f"'{text}"
    assert from_spreadsheet(for_spreadsheet(text)) == text


@pytest.mark.parametrize("text", ["-0.5", "+1", "-1e-5", "-inf", "1", "'quoted'", "it's", ""])
def test_numbers_and_other_text_are_left_and_come_back(text):
    assert for_spreadsheet(text) == from_spreadsheet(text) == text


def test_a_table_is_safe_in_cells_headings_and_index():
    table = pd.DataFrame({"=a": [-1.5, 2.0], "b": ["=1", None]}, index=["@x", "y"])
    table["c"] = pd.Categorical(["+1+1", "z"])
    safe = table_for_spreadsheet(table)
    assert list(safe.columns) == ["'=a", "b", "c"]
    assert list(safe.index) == ["'@x", "y"]
    assert safe["'=a"].tolist() == [-1.5, 2.0]
    assert safe["b"].tolist()[0] == "'=1"
    assert safe["c"].tolist() == ["'+1+1", "z"]
    assert table["b"].tolist()[0] == "=1"


def test_names_at_the_start_of_a_row_are_no_arguments_of_latex():
    assert for_latex("[red] & *") == r"{[}red{]} \& {*}"
    assert for_latex("m\n\\input{x}\n%") == r"m \textbackslash{}input\{x\} \%"
    assert for_latex("a|b \u2028 c^^M") == r"a\textbar{}b c\textasciicircum{}\textasciicircum{}M"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a | b", r"a \| b"),
        ("`x` *y* _z_ a_b", r"\`x\` \*y\* \_z\_ a_b"),
        ("![x](javascript:1)", r"![x\](javascript:1)"),
        ("[x]: y [a][b] [0.1, 0.2]", r"[x\]: y [a\][b] [0.1, 0.2]"),
        ("<img src=x>", r"\<img src=x>"),
        ("# a\n> b", r"\# a > b"),
        ("- a", r"\- a"),
        ("1. a", r"1\. a"),
        ("&lt; ~~a~~ $x$", r"\&lt; \~\~a\~\~ \$x\$"),
    ],
)
def test_marks_of_markdown_become_text(text, safe):
    assert for_markdown(text) == safe


def test_a_backslash_of_the_name_does_not_end_an_escape():
    assert for_markdown("\\|") == r"\\\|"
    assert re.fullmatch(r"(?:\\.|[^\\|])*", for_markdown("\\| \\\\|"))
