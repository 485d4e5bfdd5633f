"""Folders as a source of data sets."""

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from sclong_core.errors import InputError
from sclong_core.expression.reading import texts
from sclong_core.expression.store import is_zarr_store, open_hdf5, refuse_unreadable
from sclong_data.dataset_entry import DatasetEntry, inert_path, inert_text
from sclong_data.reading.copies import without_copies
from sclong_data.reading.mtx import is_tenx_folder
from sclong_data.reading.opening import SUFFIXES, datasets_within
from sclong_data.reading.text import SUFFIXES as TEXT_SUFFIXES
from sclong_data.reading.text import table_layout
from sclong_data.sources.filters import Filters, joined

_LOG = logging.getLogger("sclong")
_SPECIES = {"NCBITaxon:9606": "Homo sapiens", "NCBITaxon:10090": "Mus musculus"}


@dataclass(frozen=True)
class LocalFolder:
    """The data sets in a folder.

    What they hold is read from ``.h5ad`` files that say it in CELLxGENE's columns.
    """

    folder: Path
    """Where to look, at any depth."""
    name: str = "folder"
    """What people call it."""

    def list(self, filters: Filters) -> list[DatasetEntry]:
        """The data sets that fit; see :class:`~sclong_data.sources.source.Source`."""
        return filters.chosen(map(self._described, find_datasets(self.folder)), self.name)

    def _described(self, entry: DatasetEntry) -> DatasetEntry:
        path = self.folder / entry.location
        size = path.stat().st_size if path.is_file() else None
        facts: dict[str, str | None] = {}
        cells = None
        if path.suffix == ".h5ad":
            try:
                facts, cells = _said(path)
            except InputError as error:
                _LOG.warning("%s", error)
        return replace(entry, bytes=size, cells=cells, **facts)  # type: ignore[arg-type]  # text only


def _said(path: Path) -> tuple[dict[str, str | None], int | None]:
    """What an ``.h5ad`` file says in CELLxGENE's columns, and its number of cells."""
    facts: dict[str, str | None] = {}
    with open_hdf5(path) as file, refuse_unreadable(str(path), "obs"):
        obs = file["obs"]
        if not isinstance(obs, h5py.Group):
            return {}, int(obs.shape[0])
        for name in ("organism", "assay", "tissue", "disease"):
            facts[name] = _labels(file, name) or _labels(file, f"{name}_ontology_term_id")
        index = obs.attrs.get("_index", "_index")
        return facts, int(obs[index].shape[0]) if index in obs else None


def _labels(file: h5py.File, name: str) -> str | None:
    """The different values of a column of obs, or the one in uns."""
    column = file["obs"].get(name)
    if isinstance(column, h5py.Group) and "categories" in column:
        values = texts(column["categories"])
    elif isinstance(file.get(f"uns/{name}"), h5py.Dataset):
        values = np.atleast_1d(file[f"uns/{name}"].asstr()[()]).tolist()
    else:
        return None
    return joined(inert_text(_SPECIES.get(value, value)) for value in values)


def find_datasets(folder: Path) -> list[DatasetEntry]:
    """Every data set in a folder, sorted by path.

    Tables of text count only where one of their axes clearly holds genes. Of the matrices that Cell
    Ranger writes of the same cells, one is taken. What is left out is reported.

    Raises:
        InputError: there is no such folder, or no data set in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: use a folder that holds data sets")
    if is_zarr_store(folder) or is_tenx_folder(folder):
        paths = [folder]
    else:
        paths, others = without_copies(datasets_within(folder), folder)
        for path, why in others:
            _LOG.info("left out: %s %s", _printable(path), why)
    relative = [path.relative_to(folder) for path in _expression(_nameable(paths, folder))]
    if not relative:
        raise InputError(f"no data set ({', '.join(SUFFIXES)}, .zarr) in {folder}")
    return [
        DatasetEntry(name, source=_source(path), location=inert_path(str(path)))  # type: ignore[arg-type]  # of two names
        for name, path in zip(_names(relative, folder), relative, strict=True)
    ]


def _nameable(paths: Iterable[Path], folder: Path) -> Iterator[Path]:
    """Paths that can stand in a manifest, which is one line of printable text for each."""
    for path in paths:
        name = str(path.relative_to(folder))
        if name.isprintable():
            yield path
        else:
            _LOG.warning(
                "skipped: %s has a name that a manifest cannot contain: rename it", _printable(path)
            )


def _printable(path: Path) -> str:
    """A path for people, whatever bytes its name holds."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


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
    return f"{name[:115]}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
