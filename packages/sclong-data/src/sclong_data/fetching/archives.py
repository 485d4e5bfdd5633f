"""Unpacking zip and tar files that may be hostile.

Only plain files and folders inside the target are written: no absolute or ``../`` names, no links,
devices or repeated names; and no more bytes than an honest archive of that size would hold.
"""

import errno
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from sclong_core.errors import InputError
from sclong_core.files import atomic_folder
from sclong_data.fetching.workers import Stop

_CHUNK_BYTES = 1 << 20
_ENCRYPTED = 0x1
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    IndexError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)
"""What zipfile and tarfile raise over damaged archives."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold."""

    bytes: int = 500 * 10**9
    """In all."""
    members: int = 200_000
    """Files and folders."""
    ratio: int = 250
    """Bytes unpacked for one packed; looked at above ``unsuspicious_bytes``."""
    unsuspicious_bytes: int = 10**8
    """Too little to be a bomb."""


LIMITS = Limits()


@dataclass(frozen=True)
class _Member:
    name: str
    folder: bool
    problem: str | None
    open: Callable[[], AbstractContextManager[IO[bytes] | None]]


def unpack(
    archive: Path, folder: Path, *, limits: Limits = LIMITS, stop: Stop | None = None
) -> None:
    """Unpack a zip or tar file into a folder, which appears whole or not at all.

    Args:
        archive: a zip file, or a tar file that may be packed by gzip, bzip2 or xz.
        folder: to make; one that is there is replaced.
        limits: what it may hold.
        stop: ends it early, leaving nothing.

    Raises:
        InputError: it is not such an archive, damaged, or holds what must not be unpacked.
    """
    with atomic_folder(folder, overwrite=True) as temporary:
        _Unpacking(archive, temporary, limits, stop or Stop()).run()


class _Unpacking:
    """Writes the members of one archive, counting."""

    def __init__(self, archive: Path, folder: Path, limits: Limits, stop: Stop) -> None:
        self._archive = archive
        self._folder = folder
        self._most = limits.bytes
        self._limits = limits
        self._stop = stop
        packed = archive.stat().st_size
        self._most = min(limits.bytes, max(limits.unsuspicious_bytes, packed * limits.ratio))
        self._written = 0

    def run(self) -> None:
        seen: set[str] = set()
        try:
            for number, member in enumerate(self._members(), 1):
                if number > self._limits.members:
                    raise self._refusal(f"more than {self._limits.members:,} members")
                self._write(member, seen)
        except _DAMAGE as error:
            raise self._damaged(error) from error
        except OSError as error:
            if error.errno not in (None, errno.EINVAL):
                raise
            # A checksum that does not fit, or a place before the beginning of the file.
            raise self._damaged(error) from error

    def _members(self) -> Iterator[_Member]:
        if zipfile.is_zipfile(self._archive):
            with zipfile.ZipFile(self._archive) as opened:
                yield from (_zipped(opened, info) for info in opened.infolist())
        else:
            with tarfile.open(self._archive) as opened_tar:
                yield from (_tarred(opened_tar, info) for info in opened_tar)

    def _write(self, member: _Member, seen: set[str]) -> None:
        if member.problem is not None:
            raise self._refusal(f"{member.name[:100]!r}, which is {member.problem}")
        place = self._folder.joinpath(*self._inside(member.name).parts)
        if member.folder:
            place.mkdir(parents=True, exist_ok=True)
            return
        key = str(place).lower()
        if key in seen or place.exists():
            raise self._refusal(f"{member.name[:100]!r} twice")
        seen.add(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, place.open("xb") as target:
            while source is not None and (chunk := source.read(_CHUNK_BYTES)):
                self._stop.check()
                self._written += len(chunk)
                if self._written > self._most:
                    raise self._refusal(f"more than {self._most:,} bytes for its size")
                target.write(chunk)

    def _inside(self, name: str) -> PurePosixPath:
        """The name as a path that cannot leave the folder."""
        path = PurePosixPath(name)
        drive = len(name) > 1 and name[1] == ":"
        if path.is_absolute() or drive or ".." in path.parts or "\\" in name or "\0" in name:
            raise self._refusal(f"{name[:100]!r}, which leads out of its folder")
        if not name.strip("/.") and not name.endswith("/") and name not in (".", "./"):
            raise self._refusal("a member without a name")
        return path

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            f"{self._archive} cannot be unpacked ({str(error)[:100]}): it is damaged or "
            "cut short; download it again"
        )

    def _refusal(self, what: str) -> InputError:
        return InputError(f"{self._archive} holds {what}: it is not unpacked, do not trust it")


def _zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    problem = None
    if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        problem = "a link or a device"
    elif info.flag_bits & _ENCRYPTED:
        problem = "encrypted"
    # ZipFile cuts names at a null byte: the name as stored is the one to judge.
    name = info.orig_filename
    return _Member(name, info.is_dir(), problem, lambda: archive.open(info))


def _tarred(archive: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    problem = None if info.isfile() or info.isdir() else "a link or a device"
    return _Member(info.name, info.isdir(), problem, lambda: _extracted(archive, info))


def _extracted(
    archive: tarfile.TarFile, info: tarfile.TarInfo
) -> AbstractContextManager[IO[bytes] | None]:
    found = archive.extractfile(info)
    assert found is not None  # a plain file always has content
    return found
