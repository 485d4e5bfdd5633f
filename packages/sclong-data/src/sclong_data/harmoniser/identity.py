"""What identifies the files of a data set: their SHA-256, taken once while they do not change."""

import os
from pathlib import Path
from typing import Any

from sclong_core.errors import InputError
from sclong_core.expression.identity import Identity, digest, file_state, state_of
from sclong_core.files import sha256_file
from sclong_data.harmoniser.workplace import read_note, write_note

_KEY = "sources"


class SourceDigests:
    """SHA-256 of files and folders, remembered by path, inode, size and times of change.

    Args:
        cache: file that remembers them between runs.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        note = read_note(cache, _KEY)
        self._known: dict[str, dict[str, Any]] = {} if note is None else note["files"]

    def of(self, path: Path) -> str:
        """The digest of a file, or of a folder: that of its files' names and digests.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return digest(path, lambda file, _name: self._file(file))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error

    def identity(self, path: Path) -> Identity:
        """The same, and how to tell later whether the file or folder still holds it.

        Raises:
            InputError: it cannot be read, or changes meanwhile.
        """
        try:
            found = Identity(path, "", state_of(path))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        found.sha256 = self.of(path)
        found.require_same()
        return found

    def _file(self, path: Path) -> str:
        inode, size, changed, changed_inode = file_state(path)
        name = os.fspath(path.resolve())
        seen = {"bytes": size, "changed": changed, "inode": inode, "inode_changed": changed_inode}
        known = self._known.get(name, {})
        if all(known.get(key) == value for key, value in seen.items()):
            return str(known["sha256"])
        found = sha256_file(path)
        self._known[name] = {**seen, "sha256": found}
        write_note(self._cache, _KEY, {"files": self._known})
        return found
