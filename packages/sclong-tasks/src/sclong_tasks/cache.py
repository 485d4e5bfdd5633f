"""What is costly to compute, kept under the hash of everything it depends on."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError
from sclong_core.files import atomic_folder, read_json, sha256_file

_LOG = logging.getLogger("sclong")
_INDEX = "cache.json"
Arrays = dict[str, npt.NDArray[Any]]


class ContentCache:
    """A folder of results, each in a folder named after the hash of its key.

    A key holds everything that the result depends on: digests of data and checkpoints, options, and
    a version that is raised when the computation changes. What is there is checked against its
    checksums when it is opened, and computed again if it is damaged.

    Args:
        folder: where to keep results; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.root = folder

    def arrays(self, key: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of ``key``: mapped from disk if they are kept, else computed.

        Args:
            key: JSON values.
            compute: gives the arrays by name.
        """
        if self.root is None:
            return compute()

        def fill(folder: Path) -> None:
            for name, array in compute().items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)

        folder = self.folder(key, fill)
        return {path.stem: open_array(path) for path in sorted(folder.glob("*.npy"))}

    def folder(self, key: Mapping[str, Any], fill: Callable[[Path], None]) -> Path:
        """The folder of ``key``, filled by ``fill`` if it is not there or damaged.

        Raises:
            InputError: this cache keeps nothing.
        """
        if self.root is None:
            raise InputError("no cache folder is set: give one for results that live on disk")
        final = self.root / digest_of(key)
        if _is_whole(final):
            return final
        if final.exists():
            _LOG.warning("%s is damaged: it is computed again", final)
        try:
            with atomic_folder(final, overwrite=True) as temporary:
                fill(temporary)
                files = sorted(path for path in temporary.iterdir() if path.is_file())
                sums = {path.name: sha256_file(path) for path in files}
                text = json.dumps({"key": key, "sha256": sums}, indent=2, sort_keys=True)
                (temporary / _INDEX).write_text(text + "\n", encoding="utf-8")
        except OSError:
            # Another process put its own copy there at the same moment.
            if not _is_whole(final):
                raise
        return final


def digest_of(key: Any) -> str:
    """SHA-256 of JSON values, whatever the order of their keys."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_arrays(*arrays: npt.NDArray[Any]) -> str:
    """SHA-256 over types, shapes and bytes of numeric arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def open_array(path: Path) -> npt.NDArray[Any]:
    """An ``.npy`` file mapped into memory; an empty one is read."""
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        # An array without elements cannot be mapped.
        array = np.load(path, allow_pickle=False)
    return array


def _is_whole(folder: Path) -> bool:
    try:
        sums = read_json(folder / _INDEX)["sha256"]
        return all(sha256_file(folder / name) == value for name, value in sums.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
