"""Files that appear whole or not at all, and their checksums."""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sclong_core.errors import InputError
from sclong_core.renaming import put_file, put_folder, set_aside

_LOG = logging.getLogger("sclong")
_CHUNK_BYTES = 1 << 20
_NAME_BYTES = 255
"""What nearly all file systems allow for one name."""
_SEAL = "digest"
_WAITS = (0.0, 0.05, 0.2, 0.5, 1.0)
"""Seconds to wait for writers that have not ended yet."""


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def missing(path: str | os.PathLike[str]) -> str:
    """Why nothing is under a path, in words that follow its name: a link may be the reason."""
    named = Path(path)
    for place in (*reversed(named.parents), named):
        if not place.is_symlink() or _leads(place):
            continue
        words = f"is a link that leads nowhere (to {place.readlink()})"
        if _is_loop(place):
            words = "is a loop of links"
        return words if place == named else f"does not exist: its folder {place} {words}"
    return "does not exist"


def _leads(link: Path) -> bool:
    try:
        return link.exists()
    except OSError:  # a loop, in some versions of Python
        return False


def _is_loop(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


class TakenError(InputError):
    """Something is under the name of an output, and is not to be replaced."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} already exists: choose another name, or use overwrite (--overwrite)"
        )
        self.path = path


def require_own_folder(
    folder: Path, is_own: Callable[[Path], bool], what: str, *, overwrite: bool
) -> None:
    """Refuse to write a folder where something is that is not to be replaced.

    Args:
        folder: to write.
        is_own: whether a folder that is there is of the same kind.
        what: that kind, for the message: "a reference".
        overwrite: replace one of that kind.

    Raises:
        InputError: something is there, and is of another kind or is not to be replaced.
    """
    if not folder.exists():
        return
    if not overwrite:
        raise TakenError(folder)
    if not is_own(folder):
        raise InputError(f"{folder} exists and is not {what}: choose another name")


@contextmanager
def atomic_file(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is written there becomes ``path`` in one step.

    The temporary file is flushed to disk before it is renamed, and the directory after, so that a
    crash leaves either the old file or the new one. On an error it is removed.

    Args:
        path: the file to create or replace. Its directory must exist.
        overwrite: replace what is there by then; else that is an error, whenever it came.

    Yields:
        The temporary path to write to. Its suffix is that of ``path``.

    Raises:
        TakenError: ``path`` exists and ``overwrite`` is false.
    """
    final = Path(path)
    temporary = _temporary_beside(final)
    try:
        yield temporary
        _fsync(temporary)
        with _taken(final):
            put_file(temporary, final, overwrite=overwrite)
        _fsync(final.parent)
    finally:
        _remove(temporary)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; what is written there becomes ``path`` in one step.

    A kill at any moment leaves the old folder or the new one; see
    :func:`sclong_core.renaming.put_folder` for file systems that cannot exchange names.

    Args:
        path: the folder to create.
        overwrite: replace a folder that is already there. The old one stays until the new one is
            complete.

    Yields:
        The temporary folder to fill.

    Raises:
        TakenError: ``path`` exists and ``overwrite`` is false.
    """
    final = Path(path)
    _recover(final)
    if os.path.lexists(final) and not overwrite:
        raise TakenError(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(final)
    _remove(temporary)  # of a killed process with the number of this one
    temporary.mkdir()
    try:
        yield temporary
        for item in sorted(temporary.rglob("*")):
            _fsync(item)
        _fsync(temporary)
        with _taken(final):
            old = put_folder(temporary, final, overwrite=overwrite)
        _fsync(final.parent)
        if old is not None:
            _remove(old)
    finally:
        _remove(temporary)


@contextmanager
def scratch_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a name beside ``path``, with its suffix, for something that is removed at the end."""
    temporary = _temporary_beside(Path(path))
    _remove(temporary)
    try:
        yield temporary
    finally:
        _remove(temporary)


def leftovers(path: str | os.PathLike[str]) -> list[Path]:
    """What killed processes left of :func:`atomic_file` or :func:`atomic_folder` for ``path``.

    Only for who knows that no other process is writing ``path`` now.
    """
    final = Path(path)
    stems = "|".join(re.escape(stem) for stem in (final.stem, _short(final.stem)))
    ours = re.compile(rf"\.({stems})\.tmp-\d+{re.escape(final.suffix)}", re.DOTALL)
    if not final.parent.is_dir():
        return []
    return sorted(item for item in final.parent.iterdir() if ours.fullmatch(item.name))


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as indented JSON with sorted keys, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json_text(content), encoding="utf-8")


def json_text(content: Any) -> str:
    """Plain values as indented JSON with sorted keys."""
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def write_sealed(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write plain values as JSON, with a digest that tells every change."""
    write_json(path, {**content, _SEAL: _seal(content)})


def read_sealed(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What :func:`write_sealed` wrote; None where it is missing, damaged, or something else."""
    try:
        found = read_json(path)
        sound = isinstance(found, dict) and found.pop(_SEAL, None) == _seal(found)
    except (OSError, ValueError, RecursionError):
        return None
    return found if sound else None


def read_json(path: str | os.PathLike[str]) -> Any:
    """The plain values of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or nested deeper than Python reads.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _temporary_beside(final: Path) -> Path:
    """A name in the directory of ``final`` that no other process uses, not longer than may be."""
    tail = f".tmp-{os.getpid()}{final.suffix}"
    name = f".{final.stem}{tail}"
    long = len(os.fsencode(name)) > _NAME_BYTES
    return final.with_name(f".{_short(final.stem)}{tail}" if long else name)


def _short(stem: str) -> str:
    return hashlib.sha256(os.fsencode(stem)).hexdigest()[:16]


@contextmanager
def _taken(final: Path) -> Iterator[None]:
    """Say which name is taken."""
    try:
        yield
    except FileExistsError as error:
        raise TakenError(final) from error


def _recover(final: Path) -> None:
    """Put back an old folder that a killed process had set aside."""
    old = set_aside(final)
    if old is not None:
        old.rename(final)
        _LOG.warning("%s is restored: a process was killed while it replaced it", final)


def _remove(path: Path) -> None:
    """Remove a file or folder, a folder into which threads of a failed write may still put files.

    Raises:
        OSError: it cannot be removed.
    """
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for wait in _WAITS:
        shutil.rmtree(path, ignore_errors=True)
        time.sleep(wait)
        if not path.exists():
            return
    shutil.rmtree(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
