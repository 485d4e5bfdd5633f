"""Downloading one file: resumed, checked, and under its name only when complete."""

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import requests

from sclong_core.errors import InputError
from sclong_core.files import read_json, sha256_file, write_json
from sclong_core.lock import lock_file
from sclong_data.fetching.addresses import require_web, shown
from sclong_data.fetching.decoding import GZIP, decoded, encoding_of
from sclong_data.fetching.http import (
    PATIENT,
    Patience,
    TransientError,
    opened,
    passing,
    retried,
)
from sclong_data.fetching.pace import LEAST_BYTES_A_SECOND, arriving
from sclong_data.fetching.workers import Stop

__all__ = ["Patience", "Progress", "download"]

_GZIP_NAMES = (".gz", ".tgz")
Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and those in all where that is known."""


def download(
    url: str,
    path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    expected_bytes: int | None = None,
    progress: Progress | None = None,
    patience: Patience = PATIENT,
    stop: Stop | None = None,
) -> str:
    """Download a file.

    What was received is kept beside ``path`` as ``.part``, and the next call goes on from there
    if the server still has the same file. Redirects are followed to http and https only, and never
    from https to http. A file that is there already with the right checksum is left as it is. What
    a server packed on the way (``Content-Encoding: gzip``) is unpacked, so that checksum and size
    are those of the file.

    Args:
        url: an http or https address.
        path: the file to write; its folder is made if need be.
        sha256: checksum that it must have.
        expected_bytes: size that it must have.
        progress: called while bytes come in.
        patience: with the server.
        stop: ends the waits between attempts.

    Returns:
        The SHA-256 of the file.

    Raises:
        InputError: the file cannot be had, or has another size or checksum. Nothing new is then
            under ``path``.
    """
    path = Path(path)
    require_web(url)
    if sha256 is not None and path.is_file() and sha256_file(path) == sha256:
        return sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    with _part(path) as part:
        transfer = _Transfer(url, part, expected_bytes, progress, patience, stop or Stop())
        retried(transfer.attempt, url, patience, stop)
        return _finish(transfer, path, sha256, expected_bytes)


@dataclass(frozen=True)
class _Part:
    """A file that is not complete, and the note that says what it is part of."""

    file: BinaryIO
    path: Path
    note: Path

    @property
    def unpacked(self) -> Path:
        """The same without what a server packed it in."""
        return self.path.with_name(f"{self.path.name}.unpacked")

    def noted(self) -> dict[str, Any]:
        try:
            found = read_json(self.note)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def size(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    def empty(self) -> None:
        self.file.seek(0)
        self.file.truncate()


@contextmanager
def _part(path: Path) -> Iterator[_Part]:
    """The ``.part`` file, which one process at a time writes."""
    place = path.with_name(f"{path.name}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    try:
        descriptor = os.open(place, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{place} is a link: remove it") from error
        raise
    with os.fdopen(descriptor, "ab+") as handle:
        try:
            lock_file(handle.fileno())
        except BlockingIOError as error:
            raise InputError(
                f"{path} is being downloaded by another process: wait for it"
            ) from error
        note = path.with_name(f"{path.name}.part.json")
        try:
            yield _Part(handle, place, note)
        finally:
            if place.exists() and place.stat().st_size == 0:  # nothing to go on from
                place.unlink()
                note.unlink(missing_ok=True)


class _Transfer:
    """Brings the bytes of one file into its part."""

    def __init__(  # settings of a user, each by its name
        self,
        url: str,
        part: _Part,
        expected: int | None,
        progress: Progress | None,
        patience: Patience,
        stop: Stop,
    ) -> None:
        self.url = url
        self.part = part
        self._expected = expected
        self._progress = progress
        self._patience = patience
        self.stop = stop
        self._headway = max(1, int(LEAST_BYTES_A_SECOND * patience.stall_seconds))
        self._digest = hashlib.sha256()
        self._hashed = 0

    def attempt(self) -> bool | None:
        """One request; True when the file is complete, None when a part of it came."""
        begun = self.part.size()
        headers = self._resuming(begun)
        with opened(self.url, headers, self._patience, self.stop) as response:
            start = self._start(response, begun)
            if start is None:
                return True
            total = self._total(response, start)
            if start == 0:
                self._restart(response)
            try:
                self._receive(response, start, total)
            except TransientError as error:
                self._interrupted("the connection broke or stalled", begun, error)
                return None
        size = self.part.size()
        if total is not None and size < total:
            self._interrupted(f"it ended after {size:,} of {total:,} bytes", begun, None)
            return None
        return True

    def sha256(self) -> str:
        """Checksum of all that came; what an earlier process received is read again."""
        self.part.file.seek(self._hashed)
        while chunk := self.part.file.read(1 << 20):
            self._digest.update(chunk)
        return self._digest.hexdigest()

    def _resuming(self, begun: int) -> dict[str, str]:
        """Ask for the rest, provided that the file is still the same; else for all."""
        noted = self.part.noted()
        same = noted.get("url") == self.url
        validator = noted.get("validator") if same else None
        if begun and isinstance(validator, str):
            return {"Range": f"bytes={begun}-", "If-Range": validator}
        self._forget()
        return {}

    def _start(self, response: requests.Response, begun: int) -> int | None:
        """Where the bytes of the answer begin; None if there are none left to come."""
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            total = _number(r"bytes \*/(\d+)", response)
            if begun and total == begun:
                return None
            self._forget()
            raise TransientError("the server has another file now")
        if response.status_code == requests.codes.partial_content:
            if _number(r"bytes (\d+)-", response) == self.part.size() == begun:
                return begun
            self._forget()
            raise TransientError("the server sent another part than it was asked for")
        if response.status_code != requests.codes.ok:
            raise TransientError(f"the server answered with status {response.status_code}")
        return 0

    def _total(self, response: requests.Response, start: int) -> int | None:
        """Size of the whole file, where it is known."""
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if re.fullmatch(r"\d{1,18}", length) else None
        if encoding_of(response.headers.get("Content-Encoding", ""), shown(self.url)) is not None:
            return total  # the size of what is packed
        if self._expected is not None and total is not None and total != self._expected:
            self._forget()
            raise InputError(
                f"{shown(self.url)} has {total:,} bytes instead of the expected "
                f"{self._expected:,}: it was changed; list the data sets again"
            )
        return total if total is not None else self._expected

    def _restart(self, response: requests.Response) -> None:
        """Start again, and note by what the file can be recognised later."""
        self._forget()
        etag = response.headers.get("ETag", "")
        strong = etag if etag and not etag.startswith("W/") else None
        validator = strong or response.headers.get("Last-Modified")
        encoding = encoding_of(response.headers.get("Content-Encoding", ""), shown(self.url))
        note = {"url": self.url, "validator": validator, "encoding": encoding}
        write_json(self.part.note, note)

    def _receive(self, response: requests.Response, start: int, total: int | None) -> None:
        self.part.file.seek(0, os.SEEK_END)
        done = start
        chunks = arriving(response, self._patience.stall_seconds)
        while True:
            with passing():
                chunk = next(chunks, b"")
            if not chunk:
                break
            done += len(chunk)
            if total is not None and done > total:
                self._forget()
                raise InputError(f"{shown(self.url)} sends more than the expected {total:,} bytes")
            self.part.file.write(chunk)
            if self._hashed == done - len(chunk):
                self._digest.update(chunk)
                self._hashed = done
            if self._progress is not None:
                self._progress(done, total)
        self.part.file.flush()

    def _interrupted(self, reason: str, begun: int, error: Exception | None) -> None:
        """Go on with new patience if enough came; a server without ranges starts again."""
        self.part.file.flush()
        resumable = isinstance(self.part.noted().get("validator"), str)
        if not (resumable and self.part.size() >= begun + self._headway):
            raise TransientError(reason) from error

    def _forget(self) -> None:
        self.part.empty()
        self._digest, self._hashed = hashlib.sha256(), 0


def _finish(transfer: _Transfer, path: Path, sha256: str | None, size: int | None) -> str:
    """Check the file and give it its name."""
    part = transfer.part
    complete, found = part.path, transfer.sha256()
    part.file.flush()
    os.fsync(part.file.fileno())
    try:
        encoding = part.noted().get("encoding")
        if isinstance(encoding, str) and not _is_the_file(part, found, sha256, size):
            complete, found = _unpacked(transfer, encoding, path, sha256, size)
        if sha256 is not None and found != sha256:
            _drop(part)
            raise InputError(
                f"{shown(transfer.url)} has the SHA-256 {found} instead of {sha256}: it "
                "was changed, or damaged during the download, and was not kept"
            )
        complete.replace(path)
    finally:
        part.unpacked.unlink(missing_ok=True)
    part.path.unlink(missing_ok=True)  # what came packed
    part.note.unlink(missing_ok=True)
    return found


def _drop(part: _Part) -> None:
    part.empty()
    part.path.unlink(missing_ok=True)
    part.note.unlink(missing_ok=True)


def _is_the_file(part: _Part, found: str, sha256: str | None, size: int | None) -> bool:
    """Whether what was sent as packed is what was asked for: some servers call any .gz so."""
    return found == sha256 if sha256 is not None else part.size() == size


def _unpacked(
    transfer: _Transfer, encoding: str, path: Path, sha256: str | None, size: int | None
) -> tuple[Path, str]:
    """The file without what the server packed it in, and its checksum."""
    part, where = transfer.part, shown(transfer.url)
    part.file.seek(0)
    if encoding != "deflate" and part.file.read(len(GZIP)) != GZIP:
        return part.path, transfer.sha256()  # the server only says so
    part.file.seek(0)
    digest, begins = hashlib.sha256(), b""
    try:
        with part.unpacked.open("wb") as target:
            for piece in decoded(
                iter(lambda: part.file.read(1 << 20), b""), encoding, where, most=size
            ):
                transfer.stop.check()
                begins = begins or piece[: len(GZIP)]
                digest.update(piece)
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
            written = target.tell()
    except InputError:
        _drop(part)
        raise
    if sha256 is None and size is None and path.name.endswith(_GZIP_NAMES) and begins != GZIP:
        return part.path, transfer.sha256()
    if size is not None and written != size:
        _drop(part)
        raise InputError(
            f"{where} has {written:,} bytes instead of the expected {size:,}: it was "
            "changed; list the data sets again"
        )
    return part.unpacked, digest.hexdigest()


def _number(pattern: str, response: requests.Response) -> int | None:
    match = re.match(pattern, response.headers.get("Content-Range", ""))
    return int(match.group(1)) if match else None
