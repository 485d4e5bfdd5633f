"""The manifest: which data sets a corpus is made of, and where each of them is.

A manifest is a table that opens in pandas and in spreadsheet programs: tab-separated text with a
header and one data set a line. Its cells are text and nothing else: none is ever given to a shell,
and none may begin like a formula.
"""

import csv
import dataclasses
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sclong_core.errors import InputError
from sclong_core.files import atomic_file, missing
from sclong_data.outputs import begins_with

if TYPE_CHECKING:
    import pandas as pd
from sclong_data.dataset_entry import COLUMNS, NUMBERS, DatasetEntry, inert_path

__all__ = ["UNPACKED", "DatasetEntry", "Manifest"]

_LOG = logging.getLogger("sclong")
_DOWNLOADS = "downloads"
UNPACKED = "unpacked"
"""Folder beside a downloaded archive that holds what was in it."""
_FIRST_COLUMNS = 8
"""By which a manifest of this or an earlier version is known."""
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(DatasetEntry)}


@dataclass(frozen=True)
class Manifest:
    """Data sets, each once, and the folder that their relative paths start from.

    Raises:
        InputError: two data sets have the same id (capitals make no difference: not every file
            system tells them apart).
    """

    entries: tuple[DatasetEntry, ...]
    folder: Path

    def __post_init__(self) -> None:
        """Refuse repeated ids."""
        seen: dict[str, str] = {}
        for entry in self.entries:
            other = seen.setdefault(entry.dataset.lower(), entry.dataset)
            if other is not entry.dataset:
                raise InputError(f"column dataset: {entry.dataset!r} occurs twice: rename one")

    def __iter__(self) -> Iterator[DatasetEntry]:
        """The data sets in order."""
        return iter(self.entries)

    def __len__(self) -> int:
        """Number of data sets."""
        return len(self.entries)

    def __getitem__(self, dataset: str) -> DatasetEntry:
        """The data set of an id.

        Raises:
            InputError: there is none.
        """
        if dataset not in self._by_id:
            raise InputError(f"the manifest has no data set {dataset!r}")
        return self._by_id[dataset]

    @cached_property
    def _by_id(self) -> dict[str, DatasetEntry]:
        return {entry.dataset: entry for entry in self.entries}

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None
    ) -> Self:
        """Read ``manifest.tsv``.

        Args:
            path: the file.
            folder: where relative locations start and downloads go; by default the file's folder.

        Raises:
            InputError: the file is not a manifest, with the line and the column; or ``folder`` is
                not a folder.
        """
        path = Path(path)
        entries = []
        lines: dict[str, int] = {}
        for line, row in _rows(path):
            try:
                entry = _entry(row)
            except InputError as error:
                raise InputError(f"{path}, line {line}, {error}") from error
            before = lines.setdefault(entry.dataset.lower(), line)
            if before != line:
                raise InputError(
                    f"{path}, line {line}, column dataset: {entry.dataset!r} is already in line "
                    f"{before}: rename one of them"
                )
            entries.append(entry)
        if not entries:
            raise InputError(f"{path} lists no data sets: write one per line below the header")
        if folder is not None and Path(folder).exists() and not Path(folder).is_dir():
            raise InputError(f"{folder} is not a folder: name the one that holds the data sets")
        return cls(tuple(entries), path.parent if folder is None else Path(folder))

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str]) -> Self:
        """Every data set in a folder, at any depth; what was left out is reported.

        Raises:
            InputError: there is no such folder, or no data set in it.
        """
        from sclong_data.sources.local import find_datasets  # noqa: PLC0415  # it fetches, by manifests

        return cls(tuple(find_datasets(Path(path))), Path(path))

    @classmethod
    def from_frame(cls, frame: "pd.DataFrame", folder: str | os.PathLike[str] = ".") -> Self:
        """A manifest from a table with the columns of ``manifest.tsv``.

        Raises:
            InputError: a value cannot be used; rows are counted from 1.
        """
        _check_columns("the table", [str(name) for name in frame.columns])
        entries = []
        records: list[dict[Any, Any]] = (
            frame.astype(object).where(frame.notna(), "").to_dict("records")
        )
        for number, record in enumerate(records, 1):
            try:
                entries.append(_entry({str(key): _printed(record[key]) for key in record}))
            except InputError as error:
                raise InputError(f"the table, row {number}, {error}") from error
        return cls(tuple(entries), Path(folder))

    @staticmethod
    def wrote(path: Path) -> bool:
        """Whether a file is a manifest as :meth:`write` writes it."""
        return begins_with(path, "\t".join(COLUMNS[:_FIRST_COLUMNS]))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``manifest.tsv``; relative paths are rewritten for the folder it is written to."""
        path = Path(path)
        with (
            atomic_file(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as handle,
        ):
            writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
            writer.writerow(COLUMNS)
            for entry in self.entries:
                moved = dataclasses.replace(entry, location=self._location(entry, path.parent))
                values = dataclasses.asdict(moved)
                writer.writerow("" if values[name] is None else values[name] for name in COLUMNS)

    def _location(self, entry: DatasetEntry, folder: Path) -> str:
        """The location of a data set as seen from another folder."""
        if entry.remote or Path(entry.location).is_absolute():
            return entry.location
        if folder.resolve() == self.folder.resolve():
            return entry.location
        return inert_path(os.path.relpath(self.folder / entry.location, folder))

    def download_folder(self, entry: DatasetEntry) -> Path:
        """Where a data set is downloaded to."""
        return self.folder / _DOWNLOADS / entry.dataset

    def expected_path(self, entry: DatasetEntry) -> Path:
        """Where the data set is, or will be once it was fetched.

        Raises:
            InputError: a link on the way leads out of the folder of downloads.
        """
        if not entry.remote:
            return self.folder / entry.location
        path = self.download_folder(entry) / (UNPACKED if entry.archived else entry.file_name)
        if entry.archived and entry.member:
            path /= entry.member
        downloads = self.folder / _DOWNLOADS
        if not path.resolve().is_relative_to(downloads.resolve()):
            raise InputError(
                f"{entry.dataset}: a link in {downloads} leads out of it to {path.resolve()}: "
                "remove the link"
            )
        return path

    def local_path(self, entry: DatasetEntry) -> Path:
        """Where the data set is: its file or folder.

        Raises:
            InputError: it is not there.
        """
        path = self.expected_path(entry)
        if path.exists():
            return path
        if entry.remote:
            raise InputError(
                f"{entry.dataset} is not downloaded yet ({path} does not exist): run "
                "`sclong data fetch` with this manifest"
            )
        raise InputError(f"{entry.dataset}: {path} {missing(path)}: correct its location")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line that is not blank, with its number."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, delimiter="\t", strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_columns(f"{path}, line 1", header)
            for row in reader:
                if not any(value.strip() for value in row):
                    continue
                if len(row) != len(header):
                    raise InputError(
                        f"{path}, line {reader.line_num}: {len(row)} columns, but the header has "
                        f"{len(header)}: separate them by tabs"
                    )
                yield reader.line_num, dict(zip(header, row, strict=True))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a manifest: it is not UTF-8 text") from error
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from error


def _check_columns(where: str, header: list[str]) -> None:
    """Refuse columns that are unknown, repeated or lacking."""
    for name in ("dataset", "location"):
        if name not in header:
            raise InputError(
                f"{where}: there is no column {name!r}: a manifest is tab-separated text whose "
                f"first line names columns among {', '.join(COLUMNS)}"
            )
    for name in header:
        if name not in COLUMNS:
            raise InputError(f"{where}: column {name!r} is unknown: {', '.join(COLUMNS)}")
        if header.count(name) > 1:
            raise InputError(f"{where}: column {name!r} occurs twice: remove one")


def _entry(row: dict[str, str]) -> DatasetEntry:
    """A data set from its cells; empty cells mean the default."""
    values: dict[str, Any] = {}
    for name, cell in row.items():
        value = cell.strip()
        if not value:
            if name == "dataset":
                raise InputError("column dataset: it is empty: give each data set an id")
            continue
        if name in NUMBERS:
            if not re.fullmatch(r"[0-9]{1,18}", value):
                raise InputError(f"column {name}: {value[:50]!r} is not a whole number")
            values[name] = int(value)
        else:
            values[name] = value.lower() if name == "sha256" else value
    return DatasetEntry(**values)


def _printed(value: object) -> str:
    """A value of a table as text; whole numbers without the point that pandas adds."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
