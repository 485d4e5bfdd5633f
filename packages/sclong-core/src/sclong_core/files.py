"""Files that appear whole or not at all, and their checksums."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sclong_core.errors import InputError

_CHUNK_BYTES = 1 << 20
_SEAL = "digest"


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is written there becomes ``path`` in one step.

    The temporary file is flushed to disk before it is renamed, and the directory after, so that a
    crash leaves either the old file or the new one. On an error it is removed.

    Args:
        path: the file to create or replace. Its directory must exist.

    Yields:
        The temporary path to write to. Its suffix is that of ``path``.
    """
    final = Path(path)
    temporary = _temporary_beside(final)
    try:
        yield temporary
        _fsync(temporary)
        temporary.replace(final)
        _fsync(final.parent)
    finally:
        _remove(temporary)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; what is written there becomes ``path`` in one step.

    Args:
        path: the folder to create.
        overwrite: replace a folder that is already there. The old one stays until the new one is
            complete.

    Yields:
        The temporary folder to fill.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is false.
    """
    final = Path(path)
    if final.exists() and not overwrite:
        raise InputError(f"{final} already exists: choose another name, or ask to overwrite it")
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(final)
    temporary.mkdir()
    try:
        yield temporary
        for item in sorted(temporary.rglob("*")):
            _fsync(item)
        _fsync(temporary)
        _swap(temporary, final)
        _fsync(final.parent)
    finally:
        _remove(temporary)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as indented JSON with sorted keys, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


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
    """A name in the directory of ``final`` that no other process uses."""
    return final.with_name(f".{final.stem}.tmp-{os.getpid()}{final.suffix}")


def _swap(temporary: Path, final: Path) -> None:
    """Put a complete folder in the place of an old one, which is removed last."""
    if not final.exists():
        temporary.replace(final)
        return
    old = final.with_name(f".{final.name}.old-{os.getpid()}")
    final.replace(old)
    temporary.replace(final)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
