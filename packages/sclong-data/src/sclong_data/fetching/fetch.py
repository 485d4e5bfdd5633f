"""Fetching all that a manifest names."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sclong_core.errors import ScLongError
from sclong_core.files import read_json, sha256_file, write_json
from sclong_data.dataset_manifest import UNPACKED, DatasetEntry, Manifest
from sclong_data.fetching.archives import unpack
from sclong_data.fetching.checksums import Lock
from sclong_data.fetching.download import Progress, download
from sclong_data.fetching.http import PATIENT, Patience
from sclong_data.fetching.workers import Stop, in_threads

_LOG = logging.getLogger("sclong")
Status = Literal["fetched", "present", "local", "failed"]
Watch = Callable[[DatasetEntry], Progress]
"""Gives, for a data set that is about to be fetched, what to call while bytes come in."""


@dataclass(frozen=True)
class Fetched:
    """What came of one data set."""

    entry: DatasetEntry
    status: Status
    """``local`` if it needs no fetching, ``present`` if it was there already."""
    bytes: int = 0
    """Size of the downloaded file."""
    seconds: float = 0.0
    """That it took."""
    error: str = ""
    """Why it failed."""


def fetch(
    manifest: Manifest,
    *,
    workers: int = 4,
    verify: bool = False,
    watch: Watch | None = None,
    patience: Patience = PATIENT,
) -> list[Fetched]:
    """Fetch what is missing of a manifest, several files at a time.

    Files go to ``downloads/<data set>/`` beside the manifest, archives are unpacked there. Each
    file must have the checksum that the manifest gives, or the one that it had when it was first
    fetched (``downloads/lock.json``). What is there already is not asked for again; what is half
    there is continued. A file that fails does not stop the others.

    Args:
        manifest: the data sets.
        workers: files at a time.
        verify: read what is there already, and compare its checksum.
        watch: progress of each file.
        patience: with servers.

    Returns:
        What came of each data set, in the order of the manifest.
    """
    stop = Stop()
    lock = Lock(manifest.folder / "downloads" / "lock.json")
    fetcher = _Fetcher(manifest, lock, verify, patience, stop)

    def one(entry: DatasetEntry) -> Fetched:
        shown = watch(entry) if watch is not None else None

        def progress(done: int, total: int | None) -> None:
            stop.check()
            if shown is not None:
                shown(done, total)

        return fetcher.fetch(entry, progress)

    found = {
        entry.dataset: fetched
        for entry, fetched in in_threads(one, manifest.entries, workers, stop)
    }
    return [found[entry.dataset] for entry in manifest]


@dataclass(frozen=True)
class _Fetcher:
    manifest: Manifest
    lock: Lock
    verify: bool
    patience: Patience
    stop: Stop

    def fetch(self, entry: DatasetEntry, progress: Progress) -> Fetched:
        begun = time.monotonic()
        try:
            if not entry.remote:
                self.manifest.local_path(entry)
                return Fetched(entry, "local")
            self.manifest.expected_path(entry)  # no link on the way leads elsewhere
            file = self.manifest.download_folder(entry) / entry.file_name
            noted = _noted(file)
            if noted is not None and self._is_there(entry, file, noted):
                return Fetched(entry, "present", bytes=noted["bytes"])
            size = self._get(entry, file, progress)
        except (ScLongError, OSError) as error:
            reason = str(error) or type(error).__name__
            _LOG.error("%s: %s", entry.dataset, reason)
            return Fetched(entry, "failed", error=reason)
        return Fetched(entry, "fetched", bytes=size, seconds=time.monotonic() - begun)

    def _is_there(self, entry: DatasetEntry, file: Path, noted: dict[str, Any]) -> bool:
        """Whether an earlier run completed it, and nothing was changed since."""
        if noted["location"] != entry.location.partition("#")[0]:
            return False
        if entry.sha256 not in (None, noted["sha256"]):
            return False
        if not file.is_file() or file.stat().st_size != noted["bytes"]:
            return False
        if self.verify and sha256_file(file) != noted["sha256"]:
            _LOG.warning("%s: %s was changed: downloading it again", entry.dataset, file)
            return False
        return self.manifest.expected_path(entry).exists()

    def _get(self, entry: DatasetEntry, file: Path, progress: Progress) -> int:
        location = entry.location.partition("#")[0]
        expected = entry.sha256 or self.lock.expected(location)
        _set_aside(file, expected)
        if entry.scheme == "census":
            from sclong_data.sources.census import write_slice  # noqa: PLC0415  # optional extra

            file.parent.mkdir(parents=True, exist_ok=True)
            write_slice(location, file)
            sha256 = sha256_file(file)
        else:
            sha256 = download(
                location,
                file,
                sha256=expected,
                expected_bytes=entry.bytes,
                progress=progress,
                patience=self.patience,
                stop=self.stop,
            )
            if entry.sha256 is None:
                self.lock.record(location, sha256, file.stat().st_size)
        if entry.archived:
            unpack(file, file.parent / UNPACKED, stop=self.stop)
        size = file.stat().st_size
        note = {"location": location, "sha256": sha256, "bytes": size}
        write_json(_note_path(file), note)
        self.manifest.local_path(entry)  # an archive may lack the member that was named
        return size


def _set_aside(file: Path, expected: str | None) -> None:
    """Rename what is in the place of a download and was not put there by one."""
    if not file.is_file() or _noted(file) is not None or sha256_file(file) == expected:
        return
    taken = sum(1 for _ in file.parent.glob(f"{file.name}.kept-*"))
    other = file.with_name(f"{file.name}.kept-{taken + 1}")
    file.rename(other)
    _LOG.warning("%s was not downloaded by scLong: renamed to %s", file, other.name)


def _note_path(file: Path) -> Path:
    return file.with_name(f".{file.name}.json")


def _noted(file: Path) -> dict[str, Any] | None:
    try:
        noted = read_json(_note_path(file))
        return noted if noted.keys() >= {"location", "sha256", "bytes"} else None
    except (OSError, ValueError, AttributeError):
        return None
