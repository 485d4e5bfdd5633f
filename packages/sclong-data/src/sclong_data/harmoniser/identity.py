"""What identifies the files of a data set: their SHA-256, taken once while they do not change."""

import hashlib
import os
from pathlib import Path
from typing import Any

from sclong_core.errors import InputError
from sclong_core.files import sha256_file
from sclong_data.harmoniser.workplace import read_note, write_note

_KEY = "sources"


class SourceDigests:
    """SHA-256 of files and folders, remembered by path, size and time of change.

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
            if path.is_file():
                return self._file(path)
            files = sorted(item for item in path.rglob("*") if item.is_file())
            if not files:
                raise InputError(f"{path} holds no file: write or fetch it again")
            lines = (f"{item.relative_to(path).as_posix()}\0{self._file(item)}\n" for item in files)
            return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error

    def _file(self, path: Path) -> str:
        state = path.stat()
        name = os.fspath(path.resolve())
        seen = {"bytes": state.st_size, "changed": state.st_mtime_ns}
        known = self._known.get(name, {})
        if all(known.get(key) == value for key, value in seen.items()):
            return str(known["sha256"])
        found = sha256_file(path)
        self._known[name] = {**seen, "sha256": found}
        write_note(self._cache, _KEY, {"files": self._known})
        return found
