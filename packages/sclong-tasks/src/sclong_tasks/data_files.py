"""Original files of a task: found, fetched with checksums, and converted once.

A data folder holds what a task converted and ``data.json``, which says what it was made of and has
the checksum of each file.
"""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sclong_core.errors import InputError
from sclong_core.files import atomic_folder, missing, read_json, sha256_file, write_json
from sclong_tasks.task import DataFile, Task

_LOG = logging.getLogger("sclong")
RECORD = "data.json"
_COMPRESSED = (".gz", ".zip")


def prepare_data(
    task: Task[Any], folder: Path, source: str | None = None, *, overwrite: bool = False
) -> dict[str, Any]:
    """Fetch or import the original files of a task, and convert them into ``folder``.

    Args:
        task: whose files.
        folder: where to.
        source: a folder that holds the files, or one file, or an address that files are below;
            by default each file is fetched from its own address.
        overwrite: replace prepared data that is there, and nothing else.

    Returns:
        The content of ``data.json``.

    Raises:
        InputError: a file is missing or damaged, or its content is not what its authors publish.
    """
    if folder.exists() and not overwrite:
        raise InputError(f"{folder} already exists: choose another folder, or use --overwrite")
    _require_replaceable(folder, source)
    with tempfile.TemporaryDirectory(prefix="sclong-task-") as scratch:
        found = _gather(task, source, Path(scratch))
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            task.prepare(found, temporary)
            record = {
                "task": task.name,
                "sources": {name: _facts(path) for name, path in sorted(found.items())},
                "files": {
                    path.relative_to(temporary).as_posix(): _facts(path)
                    for path in sorted(temporary.rglob("*"))
                    if path.is_file()
                },
            }
            write_json(temporary / RECORD, record)
    return record


def _require_replaceable(folder: Path, source: str | None) -> None:
    """Refuse to replace anything but prepared data, and what the data are prepared from."""
    if not folder.exists():
        return
    if source is not None and Path(source).resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder} holds an input ({source}): choose another folder")
    try:
        listed = {RECORD, *read_json(folder / RECORD)["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        listed = set()
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        if not path.is_dir() and path.relative_to(folder).as_posix() not in listed:
            raise InputError(
                f"{folder} holds {path.relative_to(folder)}, which is not prepared "
                "data: choose another folder or move it away"
            )


def read_record(task: Task[Any], folder: Path) -> dict[str, Any]:
    """The content of ``data.json``, after its files were checked against their checksums.

    Raises:
        InputError: the folder is missing, of another task, or damaged.
    """
    try:
        record = read_json(folder / RECORD)
        name, listed = record["task"], record["files"]
    except FileNotFoundError:
        raise InputError(
            f"no data of {task.name} in {folder}: run sclong task data {task.name} --data {folder}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / RECORD} is damaged: {error}") from error
    if name != task.name:
        raise InputError(f"{folder} holds data of {name}, not of {task.name}")
    for file, facts in listed.items():
        path = folder / file
        if not path.is_file() or sha256_file(path) != facts["sha256"]:
            raise InputError(f"{path} is missing or damaged: run sclong task data again")
    return dict(record)


def find_files(task: Task[Any], folder: Path) -> dict[str, Path]:
    """The files of a task that lie in a folder, by the names of their :class:`DataFile`."""
    found: dict[str, Path] = {}
    for file in task.data_files:
        for name in _names(file):
            if (folder / name).is_file():
                found[file.name] = folder / name
                break
    return found


def _only_file(task: Task[Any], folder: Path, found: Mapping[str, Path]) -> dict[str, Path]:
    """For a file that may have any name, where none was found: the only one of its ending.

    Raises:
        InputError: there are several.
    """
    added: dict[str, Path] = {}
    for file in task.data_files:
        if not file.any_name or not file.required or file.name in found:
            continue
        paths = [path for path in folder.glob(f"*{Path(file.name).suffix}") if path.is_file()]
        others = sorted(set(paths) - set(found.values()))
        if len(others) > 1:
            listed = ", ".join(path.name for path in others[:5])
            more = f" and {len(others) - 5} more" if len(others) > 5 else ""
            raise InputError(
                f"{folder} holds several files that could be {file.name} of {task.name}: "
                f"{listed}{more}: give the one with --source"
            )
        if others:
            added[file.name] = others[0]
    return added


def _names(file: DataFile) -> list[str]:
    names = [file.name, *file.aliases]
    return names + [name + ending for name in names for ending in _COMPRESSED]


def _gather(task: Task[Any], source: str | None, scratch: Path) -> dict[str, Path]:
    if source is None or source.startswith("https://"):
        found = _fetch(task, source, scratch)
    elif Path(source).is_dir():
        found = find_files(task, Path(source))
        found |= _only_file(task, Path(source), found)
    elif Path(source).is_file():
        found = {**find_files(task, Path(source).parent), **_one(task, Path(source))}
    else:
        reason = "is not a plain file" if Path(source).exists() else missing(source)
        raise InputError(f"{source} {reason}: give a folder, a file or an https:// address")
    lacking = [file for file in task.data_files if file.required and file.name not in found]
    if lacking:
        listed = "; ".join(f"{file.name} ({file.purpose})" for file in lacking)
        raise InputError(
            f"{task.name} lacks {len(lacking)} file(s): {listed}: give the folder that holds them "
            "with --source"
        )
    for file in task.data_files:
        if file.name not in found:
            _LOG.info("without %s: %s", file.name, file.purpose)
    return found


def _one(task: Task[Any], path: Path) -> dict[str, Path]:
    for file in task.data_files:
        if path.name in _names(file):
            return {file.name: path}
    for file in task.data_files:
        if file.any_name:
            return {file.name: path}
    known = ", ".join(file.name for file in task.data_files)
    raise InputError(f"{path.name} is not a file of {task.name}: it has {known}")


def _fetch(task: Task[Any], base: str | None, scratch: Path) -> dict[str, Path]:
    from sclong_data.fetching.download import download  # noqa: PLC0415  # only where files are fetched

    found: dict[str, Path] = {}
    for file in task.data_files:
        url = f"{base.rstrip('/')}/{file.name}" if base else file.url
        if url is None:
            continue
        path = scratch / url.rsplit("/", 1)[-1]
        _LOG.info("fetching %s", url)
        try:
            download(url, path, sha256=file.sha256)
        except InputError as error:
            if file.required:
                raise
            _LOG.warning("%s", error)
            continue
        found[file.name] = path
    return found


def _facts(path: Path) -> Mapping[str, Any]:
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
