"""What identifies an input: its content, looked at again whenever it may have changed.

The digest says what a file or a folder held when it was first looked at. Reading all of it again
before each step would cost too much, so its state is compared instead: the inode, the size, and
the times of change of each file. The time of the last change of an inode (``ctime``) cannot be set
by a program, so that putting back the size and the time of a file is noticed.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from sclong_core.errors import InputError
from sclong_core.expression.store import is_zarr_store, store_files
from sclong_core.files import missing

_CHUNK_BYTES = 1 << 20
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

State = tuple[tuple[str, int, int, int, int], ...]
"""Of every file: its name within the folder, inode, size, and times of change in nanoseconds."""


@dataclass
class Identity:
    """A file or folder, and what it held when it was first looked at."""

    path: Path
    """Where it is."""
    sha256: str
    """Of the file; of a folder, over the names and digests of its files."""
    state: State
    """When it was last found to hold that."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read all of a file or folder.

        Raises:
            InputError: it cannot be read, or changes meanwhile.
        """
        with _readable(path):
            state = state_of(path)
            found = cls(path, digest(path), state)
            if state_of(path) != state:
                raise _changed(path)
        return found

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(size for _, _, size, _, _ in self.state)

    def require_same(self) -> None:
        """Look whether it is still the same; its content is read only if its state is another.

        Raises:
            InputError: it holds something else by now, or cannot be read.
        """
        with _readable(self.path):
            state = state_of(self.path)
            if state == self.state:
                return
            if digest(self.path) != self.sha256 or state_of(self.path) != state:
                raise _changed(self.path)
        self.state = state

    def copy(self, target: Path) -> None:
        """Copy its content, and nothing else: not who may read or write it, no links.

        Args:
            target: the file, or an empty folder.

        Raises:
            InputError: it is not what was copied, but something else by now.
        """

        def copied(path: Path, name: str) -> str:
            place = target / name if name else target
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as written:
                return digest_of_file(path, written)

        if digest(self.path, copied) != self.sha256:
            raise _changed(self.path)


def state_of(path: Path) -> State:
    """What tells whether a file or folder may have changed, without reading it.

    Raises:
        OSError: it cannot be looked at.
        InputError: it is a zarr store that leads out of itself.
    """
    return tuple((name, *file_state(path / name if name else path)) for name in _names(path))


def file_state(path: Path) -> tuple[int, int, int, int]:
    """Inode, size, time of change of the content and of the inode, of a plain file.

    Raises:
        OSError: it cannot be looked at, or is not a plain file.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a plain file", os.fspath(path))
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def digest(path: Path, of_file: Callable[[Path, str], str] | None = None) -> str:
    """The SHA-256 of a file; of a folder, that over the names and digests of its files, in order.

    Args:
        path: the file or folder.
        of_file: the digest of one file, given its path and its name within the folder.

    Raises:
        InputError: it cannot be read, or the folder holds no file.
    """
    found = of_file or (lambda file, _name: digest_of_file(file))
    names = _names(path)
    if names == [""]:
        return found(path, "")
    if not names:
        raise InputError(f"{path} holds no file: write or download it again")
    lines = (os.fsencode(f"{name}\0{found(path / name, name)}\n") for name in names)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _names(path: Path) -> list[str]:
    """Files of a folder relative to it, in order; the empty name for a file itself."""
    if not path.is_dir():
        return [""]
    if is_zarr_store(path):
        return [name.as_posix() for name in store_files(path)]
    files = sorted(item for item in path.rglob("*") if item.is_file())
    return [item.relative_to(path).as_posix() for item in files]


def digest_of_file(path: Path, copy: IO[bytes] | None = None) -> str:
    """The SHA-256 of a plain file, which may be copied on the way.

    Raises:
        InputError: it cannot be read.
        OSError: the copy cannot be written.
    """
    found = hashlib.sha256()
    for chunk in _chunks(path):
        found.update(chunk)
        if copy is not None:
            copy.write(chunk)
    return found.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a plain file; a pipe is not waited for."""
    with _readable(path):
        descriptor = os.open(path, _READ)
        with os.fdopen(descriptor, "rb", buffering=0) as handle:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is not a plain file")
            while chunk := handle.read(_CHUNK_BYTES):
                yield chunk


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        words = "lacks a part of it" if path.exists() else missing(path)
        raise InputError(f"{path} {words}: check the name") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read: ask its owner for the permission") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{path} {missing(path)}: check the name") from error
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _changed(path: Path) -> InputError:
    return InputError(
        f"{path} changed while it was being read: wait until nothing writes to it, then start again"
    )
