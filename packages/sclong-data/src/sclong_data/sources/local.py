"""Folders as a source of data sets."""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sclong_core.errors import InputError
from sclong_data.manifest import DatasetEntry, inert_path
from sclong_data.reading.opening import SUFFIXES, dataset_in, datasets_within
from sclong_data.reading.text import SUFFIXES as TEXT_SUFFIXES
from sclong_data.reading.text import table_layout

_LOG = logging.getLogger("sclong")


def find_datasets(folder: Path) -> list[DatasetEntry]:
    """Every data set in a folder, sorted by path.

    Tables of text count only where one of their axes clearly holds genes; what is left out is
    said.

    Raises:
        InputError: there is no such folder, or no data set in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give one that holds data sets")
    whole = not any(folder.iterdir()) or dataset_in_itself(folder)
    paths = [folder] if whole and any(folder.iterdir()) else datasets_within(folder)
    paths = list(_expression(paths))
    if not paths:
        raise InputError(f"no data set ({', '.join(SUFFIXES)}, .zarr) in {folder}")
    relative = [path.relative_to(folder) for path in paths]
    return [
        DatasetEntry(name, source=_source(path), location=inert_path(str(path)))  # type: ignore[arg-type]  # of two names
        for name, path in zip(_names(relative, folder), relative, strict=True)
    ]


def dataset_in_itself(folder: Path) -> bool:
    """Whether a folder is a data set and not a folder of them."""
    try:
        return dataset_in(folder) == folder
    except InputError:
        return False


def _source(path: Path) -> str:
    return "release" if path.suffix == ".npz" else "local"


def _expression(paths: Iterable[Path]) -> Iterator[Path]:
    """Paths without tables of text that are not clearly expression."""
    for path in paths:
        if path.is_file() and path.name.lower().endswith(TEXT_SUFFIXES):
            try:
                table_layout(path)
            except InputError as error:
                _LOG.info("left out: %s", error)
                continue
        yield path


def _names(paths: list[Path], folder: Path) -> list[str]:
    """An id for each path: its parts without the ending, or with it where two would be the same.

    An id depends on the set of paths alone.
    """
    short = [_plain(path, folder, ending=False) for path in paths]
    counts: dict[str, int] = {}
    for name in short:
        counts[name.lower()] = counts.get(name.lower(), 0) + 1
    names = [
        name if counts[name.lower()] == 1 else _plain(path, folder, ending=True)
        for name, path in zip(short, paths, strict=True)
    ]
    taken: dict[str, int] = {}
    for name in names:
        taken[name.lower()] = taken.get(name.lower(), 0) + 1
    return [
        name if taken[name.lower()] == 1 else _hashed(name, path)
        for name, path in zip(names, paths, strict=True)
    ]


def _plain(path: Path, folder: Path, *, ending: bool) -> str:
    parts = list(path.parts) or [folder.resolve().name or "cells"]
    if not ending:
        for suffix in sorted((*SUFFIXES, ".zarr"), key=len, reverse=True):
            if parts[-1].lower().endswith(suffix) and len(parts[-1]) > len(suffix):
                parts[-1] = parts[-1][: -len(suffix)]
                break
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", ".".join(parts)).lstrip("._-") or "cells"
    return name if len(name) <= 128 else _hashed(name, path)


def _hashed(name: str, path: Path) -> str:
    return f"{name[:115]}-{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
