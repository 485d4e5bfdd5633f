"""R's saved objects as plain data: ``.rds``, ``.rda`` and ``.RData``, through ``rdata``.

A saved object may hold functions and calls. They are parsed as data and never run. What a file
announces is compared with what it holds before memory is taken for it.
"""

import bz2
import gzip
import importlib
import lzma
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError

EXTRA = "r"
MOST_BYTES = 16 << 30
"""Unpacked; it is all held in memory."""
RATIO = 250
"""Bytes unpacked for one packed; looked at above :data:`UNSUSPICIOUS_BYTES`."""
UNSUSPICIOUS_BYTES = 10**8
_STEP = 1 << 20
_BINARY = b"X\n"
_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
_SAVED = (b"RDX2\n", b"RDX3\n")
_OTHERS = {b"A\n": "as text", b"B\n": "in the format of one machine", b"RDA": "as text"}
_DAMAGE = (
    AssertionError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
Object = Any
"""What ``rdata`` parses: an ``RObject``."""


def parse_r(path: Path) -> Object:
    """The object in a file; of ``save``, the pairlist of all objects.

    Raises:
        InputError: ``rdata`` is not installed, or the file is damaged, of another kind, or larger
            than what is read.
    """
    parser = _parser()
    content = _unpacked(path)
    saved = next((mark for mark in _SAVED if content.startswith(mark)), b"")
    content = content[len(saved) :]
    if not content.startswith(_BINARY):
        how = next((words for mark, words in _OTHERS.items() if content.startswith(mark)), None)
        if how is not None:
            raise InputError(f"{path} was saved {how}: save it again with ascii = FALSE")
        raise InputError(f"{path} is not a file of R's saveRDS or save: check it, or convert it")
    try:
        return parser(content[len(_BINARY) :]).parse_all().object
    except MemoryError as error:
        raise InputError(f"{path} needs more memory than there is: convert it to .h5ad") from error
    except _DAMAGE as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:150]
        raise InputError(
            f"{path} cannot be read ({reason}): it is damaged, or holds what the package rdata "
            "does not know; write the matrix with Matrix::writeMM, or convert it to .h5ad in R"
        ) from error


def resolved(item: Object) -> Object:
    """The object itself, where it stands in for one before it."""
    while item is not None and item.info.type.name == "REF":
        item = item.referenced_object
    return item


def kind(item: Object) -> str:
    """R's name of the type: ``INT``, ``REAL``, ``STR``, ``VEC``, ``LIST``, ``S4``, ..."""
    return str(resolved(item).info.type.name)


def pairs(item: Object) -> Iterator[tuple[str, Object]]:
    """Names and values of a pairlist: attributes, slots, or the objects of ``save``."""
    item = resolved(item) if item is not None else None
    while item is not None and kind(item) == "LIST":
        value, rest = item.value
        yield ("" if item.tag is None else text(resolved(item.tag).value)), resolved(value)
        item = resolved(rest)


def attributes(item: Object) -> dict[str, Object]:
    """Attributes by name; the slots of an S4 object are attributes."""
    return dict(pairs(resolved(item).attributes))


def classes(item: Object) -> tuple[str, ...]:
    """What R's ``class`` says, where it is stated."""
    found = attributes(item).get("class")
    return () if found is None else tuple(strings(found))


def text(item: Object) -> str:
    """A single string; nothing for NA."""
    value = resolved(item).value
    return "" if value is None else bytes(value).decode("utf-8", "backslashreplace")


def strings(item: Object) -> list[str]:
    """The strings of a character vector.

    Raises:
        ValueError: it is something else.
    """
    item = resolved(item)
    if kind(item) != "STR":
        raise ValueError(f"a {kind(item)} where names belong")
    return [text(part) for part in item.value]


def numbers(item: Object) -> npt.NDArray[np.float64]:
    """The numbers of a vector; NaN for NA.

    Raises:
        ValueError: it is something else.
    """
    item = resolved(item)
    if kind(item) not in ("INT", "REAL", "LGL"):
        raise ValueError(f"a {kind(item)} where numbers belong")
    return np.ma.filled(np.ma.asarray(item.value).astype(np.float64), np.nan)


def fields(item: Object) -> dict[str, Object]:
    """The parts of a list or data frame by name."""
    item = resolved(item)
    names = attributes(item).get("names")
    if kind(item) != "VEC" or names is None:
        return {}
    return dict(zip(strings(names), map(resolved, item.value), strict=True))


def _unpacked(path: Path) -> bytes:
    size = path.stat().st_size
    limit = min(MOST_BYTES, max(UNSUSPICIOUS_BYTES, size * RATIO))
    with path.open("rb") as raw:
        head = raw.read(6)
    opener: Any = next((opened for mark, opened in _PACKED if head.startswith(mark)), open)
    content = bytearray()
    try:
        with cast("IO[bytes]", opener(path, "rb")) as handle:
            while chunk := handle.read(_STEP):
                content += chunk
                if len(content) > limit:
                    raise InputError(
                        f"{path} unpacks to more than {limit:,} bytes: it is not read; write the "
                        "matrix with Matrix::writeMM, or convert it to .h5ad in R"
                    )
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is cut short or damaged ({error}): copy it again") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return bytes(content)


@cache
def _parser() -> Any:
    """The parser of ``rdata``, which does not take memory for what a file only announces."""
    try:
        rdata = importlib.import_module("rdata.parser")
        base = importlib.import_module("rdata.parser._xdr").ParserXDR
    except ImportError as error:
        raise InputError(
            f"files of R need an optional package: pip install 'sclong-data[{EXTRA}]'"
        ) from error
    sequences = {
        name: _bounded(rdata.DEFAULT_ALTREP_MAP[name])
        for name in (b"compact_intseq", b"compact_realseq")
    }

    class Bounded(base):  # type: ignore[misc, valid-type]  # a class of rdata, which has no types for it
        def __init__(self, content: bytes) -> None:
            super().__init__(
                memoryview(content),
                expand_altrep=True,
                altrep_constructor_dict={**rdata.DEFAULT_ALTREP_MAP, **sequences},
            )
            self._size = len(content)

        def _parse_array_values(self, dtype: Any, length: int) -> npt.NDArray[Any]:
            self._require(length * np.dtype(dtype).itemsize)
            return cast("npt.NDArray[Any]", super()._parse_array_values(dtype, length))

        def parse_string(self, length: int) -> bytes:
            self._require(length)
            return cast(bytes, super().parse_string(length))

        def _parse_vector_value(self, *references: Any) -> list[Any]:
            length = self.parse_int()
            self._require(length * 4)
            return [self.parse_R_object(*references) for _ in range(length)]

        def _parse_bytecode(self, *_references: Any) -> Any:
            raise NotImplementedError("compiled functions")

        def _require(self, size: int) -> None:
            if not 0 <= size <= self._size - self.file.tell():
                raise EOFError("it ends early, or holds vectors of more than 2^31 values")

    return Bounded


def _bounded(construct: Any) -> Any:
    def constructed(state: Object) -> Any:
        if not 0 <= float(state.value[0]) <= np.iinfo(np.int32).max // 8:
            raise ValueError("a sequence without end")
        return construct(state)

    return constructed
