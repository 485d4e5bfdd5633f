"""Arrays out of ``.npz`` and ``.npy`` files from anyone: no pickles, no more than is in them."""

import math
import struct
import tokenize
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
    SyntaxError,  # in a header that is not a literal
    tokenize.TokenError,  # nor was one in Python 2
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
        raise _refusal(path, what, error) from error


def read_array(path: str | PathLike[str], what: str) -> npt.NDArray[Any]:
    """Read the array of an ``.npy`` file.

    Args:
        path: the file.
        what: the file is to be, for the message: "gene vectors".

    Raises:
        InputError: the file is absent or damaged, holds objects, or promises more than it has.
    """
    try:
        with Path(path).open("rb") as stream:
            shape, dtype = _header(stream)
            _check_size(str(path), shape, dtype, Path(path).stat().st_size - stream.tell())
            stream.seek(0)
            return np.asarray(npy.read_array(stream, allow_pickle=False))
    except _DAMAGE as error:
        raise _refusal(path, what, error) from error


def _refusal(path: str | PathLike[str], what: str, error: BaseException) -> InputError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"{path} is not {what} ({reason}): build or copy it again")


def _read(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    member = archive.getinfo(name)
    if member.file_size > max(UNSUSPICIOUS_BYTES, RATIO * member.compress_size):
        raise ValueError(f"{name} is {member.file_size:,} bytes in {member.compress_size:,}")
    with archive.open(member) as stream:
        shape, dtype = _header(stream)
        _check_size(name, shape, dtype, member.file_size - stream.tell())
    with archive.open(member) as stream:
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _check_size(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
    if dtype.hasobject:
        raise ValueError(f"{name} holds objects, which scLong never unpickles")
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{name} has a size that does not fit its shape {shape}")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(stream)
    else:
        shape, _, dtype = npy.read_array_header_2_0(stream)
    return shape, dtype
