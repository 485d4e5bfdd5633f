"""Dictionaries of plain values, numpy numbers and numpy arrays out of a pickle from anyone.

Published models bring their genes, medians and offsets as pickled dictionaries, and what numpy
pickles sets the state of objects, which :mod:`sclong_core.plain_pickle` does not admit. Here the
only objects that can be made are stand-ins of ours, which check the state that they are given;
nothing of numpy is called by the file, and nothing in it is executed.
"""

import io
import math
import pickle
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sclong_core.errors import CheckpointError
from sclong_core.plain_pickle import check_instructions, one_line, read_limited

_STATE = ("BUILD",)
_KINDS = "biuf"
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


def read_pickled_dictionary(path: str | PathLike[str]) -> dict[Any, Any]:
    """Read a pickled dictionary of plain values, numpy numbers and numpy arrays of numbers.

    Keys may be text or whole numbers. Numbers of numpy arrive as those of Python.

    Args:
        path: the file, pickled with protocol 2 or newer, by any version of numpy.

    Raises:
        CheckpointError: the file is missing, too large, damaged, not a dictionary, or holds
            anything else; what was refused is named. Nothing in the file has been executed.
    """
    content = read_limited(Path(path))
    check_instructions(content, str(path), also=_STATE)
    try:
        values = _Unpickler(content, str(path)).load()
    except CheckpointError:
        raise
    except Exception as error:  # of any kind: the file decides what goes wrong
        raise CheckpointError(f"{path} is not a plain pickle: {one_line(error)}") from error
    if type(values) is not dict or not all(type(key) in (str, int) for key in values):
        raise CheckpointError(
            f"{path} must hold a dictionary with text or whole numbers as keys: it holds "
            f"{type(values).__name__}"
        )
    return {key: _plain(value, str(path)) for key, value in values.items()}


def _plain(value: Any, where: str) -> Any:
    """The value itself; the array of a stand-in."""
    if isinstance(value, _Array):
        if value.values is None:
            raise CheckpointError(f"{where} is not a plain pickle: an array without content")
        return value.values
    if isinstance(value, _Dtype | _Name | _Function):
        raise CheckpointError(f"{where} is refused: {value!r} is not a value")
    return value


class _Sealed:
    """An object whose attributes the file cannot set: BUILD on it raises."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> NoReturn:
        raise CheckpointError(f"it sets the state of {self!r}")


class _Dtype:
    """Stands for ``numpy.dtype``: a type of numbers."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *_flags: Any) -> None:
        if not isinstance(code, str) or len(code) > 3:
            raise CheckpointError("a type of numpy must be named by its code")
        dtype = np.dtype(code)
        if dtype.kind not in _KINDS:
            raise CheckpointError(f"it holds {dtype.name} values, and only numbers are read")
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        """Take the order of bytes, and nothing else."""
        order = state[1] if isinstance(state, tuple) and len(state) >= 2 else None
        if order not in ("<", ">", "|", "="):
            raise CheckpointError("a type of numpy has a state that is not its own")
        self.dtype = self.dtype.newbyteorder(order)

    def __repr__(self) -> str:
        return "a type of numpy"


class _Array:
    """Stands for an array, whose content comes as its state."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: Any = None

    def __setstate__(self, state: Any) -> None:
        """Take shape, type and bytes, which must fit each other."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise CheckpointError("an array has a state that is not its own")
        _, shape, dtype, by_columns, content = state
        fits = (
            isinstance(shape, tuple)
            and all(type(size) is int and size >= 0 for size in shape)
            and isinstance(dtype, _Dtype)
            and isinstance(content, bytes)
            and len(content) == math.prod(shape) * dtype.dtype.itemsize
        )
        if not fits:
            raise CheckpointError("an array's bytes, shape and type do not fit each other")
        flat = np.frombuffer(content, dtype=dtype.dtype).astype(dtype.dtype.newbyteorder("="))
        self.values = flat.reshape(shape, order="F" if by_columns else "C")


class _Name(_Sealed):
    """A class that may be named and is never called."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "numpy.ndarray"


class _Function(_Sealed):
    """One of four functions of ours, of which a file can set nothing."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def __call__(self, *given: Any) -> Any:
        return (_dtype, _scalar, _array, _encoded)[self._number](*given)

    def __repr__(self) -> str:
        return "a function"


def _dtype(*given: Any) -> _Dtype:
    return _Dtype(*given)


def _scalar(dtype: Any, content: Any) -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
        raise CheckpointError("a number of numpy must have a type and bytes")
    if len(content) != dtype.dtype.itemsize:
        raise CheckpointError("a number of numpy has too many or too few bytes")
    return np.frombuffer(content, dtype=dtype.dtype)[0].item()


def _array(*_given: Any) -> _Array:
    return _Array()


def _encoded(text: Any, encoding: Any) -> bytes:
    """Bytes as protocol 2 spells them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise CheckpointError("bytes must be written as latin1")
    return text.encode("latin-1")


class _Unpickler(pickle.Unpickler):
    """Resolves five names, each to something sealed and made for this file alone."""

    def __init__(self, content: bytes, where: str) -> None:
        super().__init__(io.BytesIO(content))
        self._where = where
        self._known: dict[tuple[str, str], Any] = {
            ("numpy", "dtype"): _Function(0),
            ("numpy", "ndarray"): _Name(),
            ("_codecs", "encode"): _Function(3),
        }
        for module in _MODULES:
            self._known[module, "scalar"] = _Function(1)
            self._known[module, "_reconstruct"] = _Function(2)

    def find_class(self, module_name: str, global_name: str) -> Any:
        found = self._known.get((module_name, global_name))
        if found is None:
            asked = f"{module_name}.{global_name}"[:100]
            raise CheckpointError(
                f"{self._where} is refused: it asks for {asked!r}, and only plain values and "
                "numbers of numpy are read"
            )
        return found
