"""Standard streams that outlive their readers and that no name can command.

A command does its work whether or not someone listens: a stream that is closed, an encoding without
the letters of a name, a reader that goes away cost words and never the work.
"""

import io
import os
import re
import sys
from typing import TextIO

from sclong_core.escaping import for_terminal

_DRAWN = re.compile(r"(\x1b\[[0-9;]*[mAKG]|\x1b\[\?25[lh]|\r)")
"""What colours, tables and bars are drawn with: colours, steps up, clearing of a line."""


class Stream(io.TextIOWrapper):
    """Standard output or standard error.

    Control characters are written as text, except those that colours and bars are drawn with where
    a terminal shows them. What the system no longer takes is let go, and remembered.
    """

    lost: OSError | None = None
    """Why something could not be written; None while all was."""

    def __init__(self, stream: TextIO) -> None:
        stream.flush()
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",  # an encoding that lacks a letter shows its number
            line_buffering=bool(getattr(stream, "line_buffering", False)),
            write_through=bool(getattr(stream, "write_through", False)),
        )
        self._original = stream  # it closes what both write to when nobody holds it
        self._draws = self.isatty() or "FORCE_COLOR" in os.environ

    def write(self, text: str) -> int:
        """Write what can be written; returns the number of characters as if it all had been."""
        try:
            super().write(self._safe(text))
        except OSError as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written, as far as it is taken."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _safe(self, text: str) -> str:
        if text.isprintable():
            return text
        if not self._draws:
            return for_terminal(text, lines=True)
        parts = _DRAWN.split(text)  # what is drawn stands between the others
        parts[::2] = [for_terminal(part, lines=True) for part in parts[::2]]
        return "".join(parts)

    def _lose(self, error: OSError) -> None:
        """Remember the first error, and send the rest to nowhere."""
        self.lost = self.lost or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def guard_streams() -> None:
    """Make the standard streams of this process safe to write to.

    Streams that are closed are opened to nowhere: a file that is opened later would take their
    numbers, and what is written to them.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115  # for good
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(number, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        if type(stream) is io.TextIOWrapper:
            setattr(sys, name, Stream(stream))


def lost_output() -> OSError | None:
    """Why some of standard output could not be written; None if all was."""
    sys.stdout.flush()
    return sys.stdout.lost if isinstance(sys.stdout, Stream) else None
