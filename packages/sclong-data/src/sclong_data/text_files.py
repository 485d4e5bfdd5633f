"""Text files as publishers give them: plain or gzip, read line by line, damage named."""

import gzip
import zlib
from collections.abc import Iterator
from functools import partial
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from sclong_core.errors import InputError

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\ufeff"
LONGEST_LINE = 1 << 28
"""Bytes; a table of a million cells has a tenth of it."""
RATIO = 500
"""Bytes unpacked for one packed; looked at above :data:`UNSUSPICIOUS_BYTES`. Tables of zeros reach
a fifth of it, gzip can reach 1032."""
UNSUSPICIOUS_BYTES = 10**8
"""Too little to be a bomb."""


def read_lines(path: str | PathLike[str]) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text file with their numbers, from 1 on; gzip is told by its bytes.

    A byte order mark at the beginning, as Excel writes it, is not part of the first line.

    Raises:
        InputError: no such file, a gzip file that is cut short or damaged or a bomb, or not text.
    """
    try:
        with Path(path).open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            yield from _decoded(raw, str(path), packed=packed)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is cut short or damaged ({error}): download it again") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: use the file as published") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def first_line(path: str | PathLike[str], *, comment: str | None = None) -> str:
    """The first line that is neither empty nor a comment.

    Raises:
        InputError: as :func:`read_lines`, or there is no such line.
    """
    for _, line in read_lines(path):
        if line.strip() and not (comment and line.startswith(comment)):
            return line
    raise InputError(f"{path} is empty: download it again, or use another file")


def _decoded(raw: BinaryIO, name: str, *, packed: bool) -> Iterator[tuple[int, str]]:
    lines: BinaryIO = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]  # reads lines of bytes as well
    unpacked, look_at = 0, UNSUSPICIOUS_BYTES
    for number, line in enumerate(iter(partial(lines.readline, LONGEST_LINE + 1), b""), 1):
        if len(line) > LONGEST_LINE:
            raise InputError(f"{name}, line {number}: longer than {LONGEST_LINE:,} bytes: not text")
        unpacked += len(line)
        if unpacked > look_at:
            look_at += UNSUSPICIOUS_BYTES
            if packed and unpacked > RATIO * raw.tell():
                raise InputError(
                    f"{name} unpacks to more than {RATIO} times its size: it is not read, do not "
                    "trust it"
                )
        text = line.decode("utf-8").rstrip("\r\n")
        yield number, text.removeprefix(_BYTE_ORDER_MARK) if number == 1 else text
