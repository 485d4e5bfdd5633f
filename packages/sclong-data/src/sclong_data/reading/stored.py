"""Matrices turned once into CSR on disk, for formats that cannot be read by cells."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclong_core.expression.identity import file_state
from sclong_core.expression.reading import CompressedRows
from sclong_core.files import atomic_folder, read_sealed, sha256_file, write_sealed
from sclong_core.lock import lock_file
from sclong_data.reading.sorting import CsrWriter

_LOG = logging.getLogger("sclong")
_FORMAT = 2
_NOTE = "matrix.json"
Names = Mapping[str, Sequence[str]]


class FileArray:
    """A one-dimensional array in a file of raw values, of which only slices are read.

    It reads instead of mapping, so that what was read does not stay in the memory of the process.
    """

    def __init__(self, path: Path, dtype: str, length: int) -> None:
        self._path, self._dtype = path, np.dtype(dtype)
        self.shape = (length,)
        if path.stat().st_size != length * self._dtype.itemsize:
            raise ValueError(f"{path.name} does not hold {length} values")

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        """The values of a slice without a step."""
        start, stop, _ = part.indices(self.shape[0])
        count = max(0, stop - start)
        return np.fromfile(
            self._path, self._dtype, count=count, offset=start * self._dtype.itemsize
        )


@dataclass(frozen=True)
class Stored:
    """A matrix of cells by genes on disk, and the names that came with it."""

    rows: CompressedRows
    names: Names


def turned(
    scratch: Path,
    label: str,
    sources: Sequence[Path],
    convert: Callable[[CsrWriter], Names],
) -> Stored:
    """The matrix that ``convert`` writes; from the scratch folder if it was written before.

    It is written again when a file that it was made from has another size or content. Of several
    processes that ask for the same one, one writes.

    Args:
        scratch: folder for it; made if need be.
        label: the data set's id, and the matrix.
        sources: files that it is made from.
        convert: writes the matrix and returns the names to keep with it.

    Raises:
        InputError: the files cannot be read.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    places = json.dumps([label, *(str(path.resolve()) for path in sources)])
    folder = scratch / f"{hashlib.sha256(places.encode()).hexdigest()[:24]}.csr"
    with _alone(scratch / f".{folder.stem}.lock"):
        found = _reusable(folder, sources)
        if found is not None:
            return found
        _LOG.info("%s: turned once, to be read by cells", label)
        with atomic_folder(folder, overwrite=True) as temporary:
            key = [_key(path) for path in sources]
            writer = CsrWriter(temporary)
            names = convert(writer)
            matrix = writer.finish()
            listed = {name: list(names[name]) for name in names}
            note = {"format": _FORMAT, "matrix": matrix, "names": listed, "sources": key}
            write_sealed(temporary / _NOTE, note)
        return _open(folder, note)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; a killed one leaves nothing locked."""
    with path.open("w") as handle:
        lock_file(handle.fileno(), wait=True)
        yield


def _key(path: Path) -> dict[str, Any]:
    """What tells whether a file is still the same."""
    return {**_state(path), "sha256": sha256_file(path)}


def _state(path: Path) -> dict[str, int]:
    """Another one says that a file may have changed; ``inode_changed`` cannot be put back."""
    inode, size, changed, changed_inode = file_state(path)
    return {"bytes": size, "changed": changed, "inode": inode, "inode_changed": changed_inode}


def _unchanged(path: Path, key: Mapping[str, Any]) -> bool:
    """A file that was touched is read through, for its content may be the same."""
    state = _state(path)
    if state["bytes"] != key["bytes"]:
        return False
    same = all(key.get(name) == value for name, value in state.items())
    return same or bool(sha256_file(path) == key["sha256"])


def _reusable(folder: Path, sources: Sequence[Path]) -> Stored | None:
    """A matrix that was written from the same files; None if there is none, or it is damaged."""
    note = read_sealed(folder / _NOTE)
    if note is None or note["format"] != _FORMAT or len(note["sources"]) != len(sources):
        return None
    try:
        return _open(folder, note) if all(map(_unchanged, sources, note["sources"])) else None
    except (OSError, ValueError):
        return None


def _open(folder: Path, note: Mapping[str, Any]) -> Stored:
    matrix = note["matrix"]
    group = {
        "data": FileArray(folder / "data.bin", matrix["dtype"], matrix["values"]),
        "indices": FileArray(folder / "indices.bin", "<i4", matrix["values"]),
        "indptr": FileArray(folder / "indptr.bin", "<i8", matrix["cells"] + 1),
    }
    return Stored(CompressedRows(group, matrix["cells"], matrix["genes"]), note["names"])
