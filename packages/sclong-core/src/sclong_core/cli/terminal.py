"""What commands say while they work (on standard error) and at their end (on standard output)."""

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sclong_core.escaping import for_terminal

if TYPE_CHECKING:
    from rich.console import Console  # keeps sclong --help fast

_LOGGER = "sclong"
_LONG_LINE = 10_000
_MARKS = {logging.WARNING: "warning: ", logging.ERROR: "error: "}


class TerminalHandler(logging.Handler):
    """Short lines on standard error; warnings and errors are marked.

    Standard error is looked up for each line, so that lines go above a progress bar that is drawn.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            from rich.console import Console  # noqa: PLC0415  # keeps sclong --help fast
            from rich.text import Text  # noqa: PLC0415

            mark = _MARKS.get(record.levelno, "")
            style = {"warning: ": "yellow", "error: ": "red"}.get(mark, "")
            words = for_terminal(" ".join(record.getMessage().split()))
            console = Console(stderr=True, soft_wrap=True)
            console.print(Text(mark, style=style) + Text(words), highlight=False)
        except Exception:  # noqa: BLE001  # as every handler: a message must not end the work
            self.handleError(record)


@contextmanager
def messages(*, shown: bool = True, level: int = logging.INFO) -> Iterator[None]:
    """Show what the packages say through the logger "sclong" while a command runs.

    Args:
        shown: false where another process of the same run speaks for all; only errors are shown.
        level: from which on.
    """
    logger = logging.getLogger(_LOGGER)
    handler = TerminalHandler()
    handler.setLevel(level if shown else logging.ERROR)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(level, before) if before else level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def is_interactive() -> bool:
    """Whether someone watches standard error: bars are drawn only then."""
    return sys.stderr.isatty()


def standard_output() -> "Console":
    """Standard output; in a file or a pipe a line is as long as what stands in it.

    Folding to the 80 columns of no terminal would tear names apart that people look for in logs.
    The variable COLUMNS has its usual meaning.
    """
    from rich.console import Console  # noqa: PLC0415  # keeps sclong --help fast

    folds = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if folds else _LONG_LINE)


def print_text(text: str) -> None:
    """Print lines, whatever names stand in them."""
    print(for_terminal(text, lines=True))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    from rich.table import Table  # noqa: PLC0415  # keeps sclong --help fast
    from rich.text import Text  # noqa: PLC0415

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(for_terminal(name), style="bold"), Text(for_terminal(value)))
    standard_output().print(table)


def print_table(
    columns: Iterable[str], rows: Iterable[Iterable[str | Sequence[str]]], *, title: str = ""
) -> None:
    """Print a table with a header; a cell is a text, or several that stand below each other."""
    from rich.table import Table  # noqa: PLC0415  # keeps sclong --help fast
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=Text(for_terminal(title)) if title else None)
    for name in columns:
        table.add_column(Text(for_terminal(name)), overflow="fold")
    for row in rows:
        cells = ([cell] if isinstance(cell, str) else cell for cell in row)
        table.add_row(*(Text("\n".join(map(for_terminal, cell))) for cell in cells))
    standard_output().print(table)
