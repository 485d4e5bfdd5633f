"""Names from files, made safe for where they are shown: one function for each target.

Names of models, genes, columns, layers and files come from others. In a terminal they can move the
cursor or set the title; in LaTeX, Markdown and spreadsheets they can become commands. HTML and SVG
are escaped where elements are built (``sclong_data.report.markup``).
"""

import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_BYTES_OF_NAMES = range(0xDC80, 0xDD00)
"""Bytes of file names that are not UTF-8, as Python keeps them."""
_FORMULA = re.compile("['\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""Also in the wide letters of East Asian keyboards, which some programs take for the same."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]inf")
_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"{{{sign}}}" for sign in "[]*"},  # behind the end of a row these are its arguments
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "|": r"\textbar{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "∞": r"$\infty$",
    "δ": r"$\delta$",
    "“": "``",
    "”": "''",
}
_MARKDOWN = re.compile(
    r"[\\|*`~$]|<(?=[A-Za-z/!?])|&(?=[A-Za-z#])|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])"
    r"|^[#>]|^[+-](?=[\s-]|$)|^\d+(?=[.)] )"
)


def visible(text: str) -> str:
    r"""One line in which every control character is seen, as ``\x1b`` or ``\n``.

    These are all that move a cursor, break a line, turn the direction of reading or are invisible,
    and the bytes of file names that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(map(_seen, text))


def for_terminal(text: str, *, lines: bool = False) -> str:
    """Text that does nothing in a terminal but stand there.

    Args:
        text: of anyone.
        lines: keep the ends of lines and tabs, which are the program's own.
    """
    if not lines:
        return visible(text)
    return re.sub(r"[^\n\t]+", lambda found: visible(found[0]), text)


def for_markdown(text: str) -> str:
    """Text that stays text in a paragraph or in the cell of a table in Markdown."""
    line = visible(" ".join(text.split()))
    return _MARKDOWN.sub(lambda found: _backslash(found[0]), line)


def for_latex(text: str) -> str:
    """Text that stays text in LaTeX, also at the beginning of a row of a table."""
    line = visible(" ".join(text.split()))
    return "".join(_LATEX.get(character, character) for character in line)


def for_spreadsheet(text: str) -> str:
    """The text of a cell of a CSV or TSV file, never a formula; :func:`from_spreadsheet` reads it.

    A text that a spreadsheet program would take for a formula gets an apostrophe in front, the sign
    of such programs for text. Numbers stay as they are.
    """
    line = visible(text)
    return f"'{line}" if _FORMULA.match(line) and not _NUMBER.fullmatch(line) else line


def from_spreadsheet(text: str) -> str:
    """What :func:`for_spreadsheet` was given, but for control characters."""
    rest = text.removeprefix("'")
    return rest if text != rest and _FORMULA.match(rest) else text


def table_for_spreadsheet(table: "pd.DataFrame") -> "pd.DataFrame":
    """The same table with :func:`for_spreadsheet` for every text in it: cells, headings, index."""
    safe = table.apply(lambda column: column if column.dtype.kind in "biufM" else column.map(_cell))
    return safe.rename(columns=_cell, index=_cell)


def _cell(value: Any) -> Any:
    return for_spreadsheet(value) if isinstance(value, str) else value


def _seen(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    if ord(character) in _BYTES_OF_NAMES:
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _backslash(found: str) -> str:
    """In front of the sign that would be a mark: the last of a number at the start of a line."""
    return f"\\{found}" if not found.isdigit() else f"{found}\\"
