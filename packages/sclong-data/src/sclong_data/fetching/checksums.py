"""Checksums of files whose publisher gives none: noted at the first fetch, required ever after."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sclong_core.errors import InputError
from sclong_core.files import read_json, write_json
from sclong_core.lock import lock_file
from sclong_data.fetching.addresses import shown

_FORMAT = 1


class Lock:
    """A JSON file of addresses with the SHA-256 and the size of what was found there.

    Args:
        path: the file; made with the first record. Several processes may record at once.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def expected(self, url: str) -> str | None:
        """The SHA-256 noted for an address; None if it was never fetched.

        Raises:
            InputError: the file is not a lock file.
        """
        noted = self._read().get(_key(url))
        return None if noted is None else str(noted["sha256"])

    def record(self, url: str, sha256: str, size: int) -> None:
        """Note what was found at an address.

        Raises:
            InputError: something else was found there before.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            files = self._read()
            before = files.get(_key(url))
            if before is not None and before["sha256"] != sha256:
                raise InputError(
                    f"{shown(url)} has the SHA-256 {sha256}, but had {before['sha256']} "
                    f"at the first download: it was changed; remove it from {self.path} "
                    "to accept the change"
                )
            if before is None:
                files[_key(url)] = {"sha256": sha256, "bytes": size}
                write_json(self.path, {"format": _FORMAT, "files": files})

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self.path.with_name(f".{self.path.name}.lock").open("w") as handle:
            lock_file(handle.fileno(), wait=True)
            yield

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        try:
            content = read_json(self.path)
            files = dict(content["files"])
            known = content["format"] == _FORMAT
            known &= all(isinstance(noted["sha256"], str) for noted in files.values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._not_a_lock() from error
        if not known:
            raise self._not_a_lock()
        return files

    def _not_a_lock(self) -> InputError:
        return InputError(
            f"{self.path} is not a lock file: restore it, or remove it to accept new downloads"
        )


def _key(url: str) -> str:
    """The address without a password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
