"""Writes files as R's ``saveRDS`` and ``save`` do: what tests of their reader need."""

import gzip
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

_NIL = struct.pack(">i", 254)
_OBJECT, _ATTRIBUTES, _TAG = 1 << 8, 1 << 9, 1 << 10
_ASCII = 64 << 12
NULL = _NIL
"""R's NULL."""


def vector(values: Any, attributes: Mapping[str, bytes] | None = None) -> bytes:
    """A vector of integers, reals, truth values or strings.

    Args:
        values: an array, or a sequence of strings.
        attributes: by name, such as ``dim``, ``names`` and ``class``.
    """
    if isinstance(values, np.ndarray):
        code, kind = {"b": (10, ">i4"), "i": (13, ">i4"), "f": (14, ">f8")}[values.dtype.kind]
        body = struct.pack(">i", values.size) + values.astype(kind).tobytes()
    else:
        code, body = 16, struct.pack(">i", len(values)) + b"".join(map(_char, values))
    return _with_attributes(code, body, attributes)


def items(parts: Sequence[bytes], attributes: Mapping[str, bytes] | None = None) -> bytes:
    """A list of objects; a data frame by its attributes."""
    body = struct.pack(">i", len(parts)) + b"".join(parts)
    return _with_attributes(19, body, attributes)


def named(parts: Mapping[str, bytes], attributes: Mapping[str, bytes] | None = None) -> bytes:
    """A list of objects with names."""
    return items(list(parts.values()), {"names": vector(list(parts)), **(attributes or {})})


def s4(name: str, slots: Mapping[str, bytes]) -> bytes:
    """An S4 object of a class."""
    return _with_attributes(25, b"", {**slots, "class": vector([name])})


def pairlist(parts: Mapping[str, bytes]) -> bytes:
    """What ``save`` writes: objects with names."""
    found = b""
    for name, part in parts.items():
        found += struct.pack(">ii", 2 | _TAG, 1) + _char(name) + part
    return found + _NIL


def dgc(
    matrix: Any, rows: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> bytes:
    """A ``dgCMatrix``, with or without names."""
    held = sparse.csc_matrix(matrix)
    names = [NULL if one is None else vector(list(one)) for one in (rows, columns)]
    slots = {
        "i": vector(held.indices.astype(np.int32)),
        "p": vector(held.indptr.astype(np.int32)),
        "Dim": vector(np.array(held.shape, dtype=np.int32)),
        "Dimnames": items(names),
        "x": vector(held.data.astype(np.float64)),
        "factors": items([]),
    }
    return s4("dgCMatrix", slots)


def write_rds(path: Path, item: bytes, *, saved: bool = False, packed: bool = True) -> Path:
    """Write a file.

    Args:
        path: of the file.
        item: the object; of ``save``, a pairlist.
        saved: as ``save`` does.
        packed: by gzip, as R does by default.
    """
    head = struct.pack(">iiii", 3, 0x40301, 0x30500, 5) + b"UTF-8"
    content = (b"RDX3\n" if saved else b"") + b"X\n" + head + item
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return path


def _char(text: str) -> bytes:
    content = text.encode()
    return struct.pack(">ii", 9 | _ASCII, len(content)) + content


def _with_attributes(code: int, body: bytes, attributes: Mapping[str, bytes] | None) -> bytes:
    if not attributes:
        return struct.pack(">i", code) + body
    flags = code | _ATTRIBUTES | (_OBJECT if "class" in attributes else 0)
    return struct.pack(">i", flags) + body + pairlist(attributes)
