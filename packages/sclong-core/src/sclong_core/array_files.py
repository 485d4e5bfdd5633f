"""Arrays out of an ``.npz`` file from anyone: no pickles, no more memory than is in the file."""

import math
import struct
import zipfile
import zlib
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from sclong_core.errors import InputError

RATIO = 250
"""Bytes unpacked for one packed; looked at above :data:`UNSUSPICIOUS_BYTES`."""
UNSUSPICIOUS_BYTES = 10**8
"""Too little to be a bomb."""
_DAMAGE = (
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    OverflowError,
    MemoryError,
    OSError,
    RuntimeError,  # encrypted
    NotImplementedError,  # packed in an unknown way
    SyntaxError,  # in a header that is no literal
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_arrays(
    path: str | PathLike[str], names: Iterable[str], what: str
) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays.

    Args:
        path: the file.
        names: of the arrays; others are not looked at.
        what: the file is to be, for the message: "a gene graph".

    Raises:
        InputError: the file is absent, damaged, lacks an array, holds objects, or promises more
            than it has.
    """
    try:
        # Opened here, because zipfile leaves a damaged file open.
        with Path(path).open("rb") as handle, zipfile.ZipFile(handle) as archive:
            return {name: _read(archive, f"{name}.npy") for name in names}
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} is not {what} ({reason}): build or copy it again") from error


def _read(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    member = archive.getinfo(name)
    if member.file_size > max(UNSUSPICIOUS_BYTES, RATIO * member.compress_size):
        raise ValueError(f"{name} is {member.file_size:,} bytes in {member.compress_size:,}")
    with archive.open(member) as stream:
        shape, dtype = _header(stream)
        if dtype.hasobject:
            raise ValueError(f"{name} holds objects, which are never unpickled")
        if math.prod(shape) * dtype.itemsize != member.file_size - stream.tell():
            raise ValueError(f"{name} says that its shape is {shape}, and has not that size")
    with archive.open(member) as stream:
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(stream)
    else:
        shape, _, dtype = npy.read_array_header_2_0(stream)
    return shape, dtype
