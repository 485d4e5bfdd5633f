"""Plain values and tensors out of a pickle from anyone, without executing any of it.

A pickle is a program. Here its instructions are read first and only those that build plain values
are admitted; then an unpickler runs it that knows four names: an ordered dictionary, bytes as
older protocols write them, and the two functions that make up a pickled tensor. The last three
are ours, and check what they are given.

Published models bring their genes, medians and offsets as pickled dictionaries, and what numpy
pickles sets the state of objects. For these the only objects that can be made are stand-ins of
ours, which check the state that they are given; nothing of numpy is called by the file.
"""

import io
import math
import pickle
import pickletools
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from sclong_core.errors import CheckpointError

MAXIMUM_BYTES = 4 << 30
"""Largest file that is read: far above any set of hyper-parameters with a gene graph in it."""

_ZIP_MAGIC = b"PK\x03\x04"
_VALUE_INSTRUCTIONS = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE "
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT "
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 "
    "EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_DICT SETITEM SETITEMS DICT "
    "BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE"
)
"""Instructions that build values. Not among them: those that set an object's state, make an
instance without its function, or ask for something outside the file."""


def read_plain_pickle(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a pickled or ``torch.save``d dictionary of plain values and tensors.

    Admitted are None, bool, int, float, str, bytes, list, tuple, dict, ``OrderedDict`` and dense
    tensors, which arrive on the CPU wherever they had been. This is what the release's
    ``hyper_params.pkl`` holds.

    Args:
        path: the file, pickled with protocol 2 or newer, or saved by ``torch.save``.

    Raises:
        CheckpointError: the file is missing, too large, damaged, not a dictionary, or holds
            anything else; what was refused is named. Nothing in the file has been executed.
    """
    content = read_limited(Path(path))
    if content.startswith(_ZIP_MAGIC):
        values = _load_torch(io.BytesIO(content), str(path))
    else:
        check_instructions(content, str(path))
        values = _run(content, str(path))
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise CheckpointError(
            f"{path} must hold a dictionary with text keys: it holds {_kind(values)}"
        )
    return values


def load_tensors(path: Path) -> Any:
    """Read what ``torch.save`` wrote: plain values and tensors, on the CPU.

    The tensors are mapped from the file, unless it has the format that PyTorch wrote before 1.6.

    Raises:
        CheckpointError: the file is missing, damaged, or holds anything else. Nothing in it has
            been executed.
    """
    try:
        with path.open("rb") as handle:
            mapped = handle.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    return _load_torch(path, str(path), mapped=mapped)


def read_limited(path: Path) -> bytes:
    """The content of a file that is not larger than what is read.

    Raises:
        CheckpointError: it is missing, too large, or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > MAXIMUM_BYTES:
            raise CheckpointError(
                f"{path} is {size} bytes, more than the {MAXIMUM_BYTES} that are read"
            )
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def check_instructions(content: bytes, where: str, *, also: Sequence[str] = ()) -> None:
    """Go through the whole program without running it, and refuse what does more than build values.

    Args:
        content: the pickle.
        where: its name, for messages.
        also: instructions to admit beside those that build values.

    Beyond the set of instructions this bounds the numbered memory slots: the C unpickler reserves
    memory up to the highest number, which a few bytes could set to billions.

    Raises:
        CheckpointError: it is damaged, or does more.
    """
    known = frozenset([*_VALUE_INSTRUCTIONS.split(), *also])
    slots = 0
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name not in known:
                raise CheckpointError(
                    f"{where} is refused: it holds more than plain values "
                    f"(pickle instruction {opcode.name})"
                )
            if opcode.name in ("BINPUT", "LONG_BINPUT"):
                slots += 1
                if int(argument or 0) > slots + 0xFF:
                    raise CheckpointError(f"{where} is refused: it numbers its values in no order")
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"{where} is not a complete pickle: {one_line(error)}") from error


def _run(content: bytes, where: str) -> Any:
    try:
        return _PlainUnpickler(content, where).load()
    except CheckpointError:
        raise
    except Exception as error:  # of any kind: the file decides what goes wrong
        raise CheckpointError(f"{where} is not a plain pickle: {one_line(error)}") from error


class _PlainUnpickler(pickle.Unpickler):
    """Resolves four names and nothing else."""

    def __init__(self, content: bytes, where: str) -> None:
        super().__init__(io.BytesIO(content))
        self._where = where

    def find_class(self, module_name: str, global_name: str) -> Callable[..., Any]:
        function = _ADMITTED.get((module_name, global_name))
        if function is None:
            asked = f"{module_name}.{global_name}"[:100]
            raise CheckpointError(
                f"{self._where} is refused: it asks for {asked!r}, "
                "and only plain values and tensors are read"
            )
        return function


def _ordered_dict(items: Any = ()) -> OrderedDict[Any, Any]:
    """A function and not the class, so that nothing can be done with the class itself."""
    return OrderedDict(items)


def _encode(text: str, encoding: str) -> bytes:
    """Bytes as protocol 2 spells them."""
    if encoding != "latin1":
        raise CheckpointError(f"bytes are written as latin1, not {encoding!r}")
    return text.encode("latin-1")


def _load_from_bytes(content: bytes) -> Any:
    """A tensor's storage: a ``torch.save`` inside the pickle, which PyTorch itself would trust."""
    storage = _load_torch(io.BytesIO(content), "a tensor in it")
    if not isinstance(storage, torch.storage.TypedStorage):
        raise CheckpointError(f"a tensor's values must be a storage, not {_kind(storage)}")
    return storage


def _rebuild_tensor(storage: Any, offset: int, size: Any, stride: Any, *_unused: Any) -> Tensor:
    """A tensor over the values that are there, and no further.

    Whether it required a gradient, its hooks and metadata are not looked at.
    """
    if not isinstance(storage, torch.storage.TypedStorage):
        raise CheckpointError(f"a tensor's values must be a storage, not {_kind(storage)}")
    values = torch.empty(0, dtype=storage.dtype).set_(storage)
    tensor = torch.as_strided(values, size, stride, offset)
    if tensor.numel() > values.numel():
        raise CheckpointError("a tensor is larger than the values it is made of")
    return tensor


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("_codecs", "encode"): _encode,
    ("torch.storage", "_load_from_bytes"): _load_from_bytes,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
}


def _load_torch(file: io.BytesIO | Path, where: str, *, mapped: bool = False) -> Any:
    try:
        return torch.load(file, weights_only=True, map_location="cpu", mmap=mapped)
    except Exception as error:  # of any kind: the file decides what goes wrong
        raise CheckpointError(f"{where} is refused: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """What is wrong with a file; PyTorch's own messages go on to advise trusting it."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, EOFError | OSError) or "PytorchStreamReader" in text:
        return "it is damaged, or a part of it is missing: get it again"
    asked = re.search(r"GLOBAL (\S{1,100})", text)
    if asked:
        return f"it asks for {asked[1]!r}, and only plain values and tensors are read"
    _, found, reason = text.rpartition("WeightsUnpickler error:")
    if found:
        return re.split("Please use|Check the documentation", reason, maxsplit=1)[0].strip()
    return text if "weights_only" not in text else "PyTorch finds more in it than plain values"


def _kind(value: object) -> str:
    return type(value).__name__


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
