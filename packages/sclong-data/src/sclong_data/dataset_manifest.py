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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args
from urllib.parse import unquote, urlsplit

from sclong_core.errors import InputError
from sclong_core.files import atomic_file, missing
from sclong_data.outputs import begins_with

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger("sclong")

SourceName = Literal["local", "url", "cellxgene", "hca", "cellblast", "release"]
NormalisationName = Literal["auto", "raw", "log1p"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_FORMULA = ("=", "+", "-", "@")
_DOWNLOADS = "downloads"
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
UNPACKED = "unpacked"
"""Folder beside a downloaded archive that holds what was in it."""


@dataclass(frozen=True)
class DatasetEntry:
    """One data set of a manifest.

    Raises:
        InputError: a value cannot be used; the message begins with the name of its column.
    """

    dataset: str
    """Its id: letters, digits and ``._-``, at most 128, the first a letter or digit."""
    source: SourceName = "local"
    """Which archive it is from."""
    location: str = ""
    """A path, relative to the manifest's folder or absolute, or an ``https`` address. Behind
    ``#``, the address of a zip or tar file may name what to take from it; other addresses, the
    name of the file."""
    sha256: str | None = None
    """SHA-256 of the file at that address, where it is known."""
    bytes: int | None = None
    """Its size."""
    organism: str | None = None
    """Species, for example "Homo sapiens"; several are separated by ``;``."""
    assay: str | None = None
    """For example "10x 3' v3"; several are separated by ``;``."""
    tissue: str | None = None
    """Several are separated by ``;``."""
    disease: str | None = None
    """Several are separated by ``;``; "normal" if none."""
    cells: int | None = None
    """Number of cells, as the source says."""
    matrix: str | None = None
    """The matrix to read: a layer, ``raw`` or a 10x genome; ``genes-by-cells`` or
    ``cells-by-genes`` for text."""
    gene_column: str | None = None
    """The column of var that names the genes, or "var_names"; the best one by default."""
    genes: str | None = None
    """A file that names the genes, one id a line, for data that does not name them itself.
    Relative to the folder of the data."""
    normalisation: NormalisationName = "auto"
    """What the values are; recognised by default."""
    title: str = ""
    """What people call it."""
    repository: str | None = None
    """Where the file was published, for example "owner/name" on GitHub."""
    commit: str | None = None
    """Commit or version of that repository."""
    path: str | None = None
    """Path of the file in it; several are separated by ``;``."""
    licence: str | None = None
    """Licence of what carries the file; it does not settle the terms of the original data."""
    study: str | None = None
    """The study that measured the cells, with its DOI or accession."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        if not _ID.fullmatch(self.dataset):
            raise InputError(
                f"column dataset: {self.dataset[:140]!r} is not a data set id: use "
                "letters, digits and . _ - (at most 128, the first a letter or digit)"
            )
        for name in _TEXT:
            _check_text(name, getattr(self, name))
        _check_choice("source", self.source, get_args(SourceName))
        _check_choice("normalisation", self.normalisation, get_args(NormalisationName))
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise InputError(
                f"column sha256: {self.sha256[:80]!r} is not 64 hexadecimal digits: copy the "
                "checksum again or leave it empty"
            )
        for name in _NUMBERS:
            number = getattr(self, name)
            if number is not None and (type(number) is not int or number < 0):
                raise InputError(
                    f"column {name}: {str(number)[:50]!r} is not a whole number of at "
                    "least 0: correct it, or leave it empty"
                )
        self._check_location()

    def _check_location(self) -> None:
        """Only paths, and addresses of files on the web or in the Census."""
        scheme = self.scheme
        if scheme not in (None, "http", "https", "census"):
            raise InputError(
                f"column location: {self.location[:200]!r} is neither a path nor an https address"
            )
        if not self.location:
            raise InputError("column location: it is empty: give a path or an https address")
        if scheme in ("http", "https"):
            self._check_address()
        if self.source == "local" and scheme is not None:
            raise InputError(
                "column location: a local data set has a path, not an address: "
                "change its source to url"
            )
        if self.member is not None and not stays_inside(self.member):
            raise InputError("column location: the part after # leads out of the archive")
        if self.remote and self.genes is not None and not stays_inside(self.genes):
            raise InputError("column genes: it leads out of the folder of the data set")
        if self.source == "url" and scheme is None:
            raise InputError("column location: source url needs an https address")

    def _check_address(self) -> None:
        try:
            parts = urlsplit(self.location)
            named = parts.hostname is not None and (parts.port is None or parts.port > 0)
        except ValueError as error:
            raise InputError(
                f"column location: {self.location[:200]!r} is not an address ({error}): correct it"
            ) from error
        if not named:
            raise InputError(f"column location: {self.location[:200]!r} names no server")
        if parts.username or parts.password:
            raise InputError(
                "column location: an address with a password does not belong in a manifest: "
                "keep it in ~/.netrc"
            )

    @property
    def scheme(self) -> str | None:
        """The scheme of an address, in lower case; None for a path."""
        match = _SCHEME.match(self.location)
        return match.group(0)[:-1].lower() if match else None

    @property
    def remote(self) -> bool:
        """Whether it must be fetched first."""
        return self.scheme is not None

    @property
    def member(self) -> str | None:
        """What to take from the archive at the address; None for all, or for other files."""
        return (unquote(urlsplit(self.location).fragment) or None) if self._packed else None

    def _named(self) -> str:
        """What names the file: a path, or behind ``#`` where an address does not."""
        if not self.remote:
            return self.location
        parts = urlsplit(self.location)
        return parts.path if self._packed or not parts.fragment else parts.fragment

    @property
    def _packed(self) -> bool:
        """Whether the address itself ends like that of a zip or tar file."""
        return self.remote and urlsplit(self.location).path.lower().endswith(_ARCHIVES)

    @property
    def archived(self) -> bool:
        """Whether the address is one of a zip or tar file."""
        return self.remote and self.file_name.lower().endswith(_ARCHIVES)

    @property
    def file_name(self) -> str:
        """Name of the file that holds it, which cannot lead out of its folder."""
        if self.scheme == "census":
            return f"{self.dataset}.h5ad"
        last = unquote(self._named())
        name = re.sub(r"[^A-Za-z0-9._-]", "_", last.rstrip("/").rpartition("/")[2]).lstrip(".")
        return name[-150:] or self.dataset


_COLUMNS = tuple(field.name for field in dataclasses.fields(DatasetEntry))
_NUMBERS = ("bytes", "cells")
_FIRST_COLUMNS = 8
"""By which a manifest of this or an earlier version is known."""
_TEXT = tuple(name for name in _COLUMNS if name not in (*_NUMBERS, "dataset"))
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
        from sclong_data.sources.local import find_datasets  # noqa: PLC0415  # reads files

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
        return begins_with(path, "\t".join(_COLUMNS[:_FIRST_COLUMNS]))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``manifest.tsv``; relative paths are rewritten for the folder it is written to."""
        path = Path(path)
        with (
            atomic_file(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as handle,
        ):
            writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
            writer.writerow(_COLUMNS)
            for entry in self.entries:
                moved = dataclasses.replace(entry, location=self._location(entry, path.parent))
                values = dataclasses.asdict(moved)
                writer.writerow("" if values[name] is None else values[name] for name in _COLUMNS)

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


def stays_inside(name: str) -> bool:
    """Whether a name, of any system, is that of something inside a folder."""
    parts = re.split(r"[/\\]", name)
    drive = re.match(r"[A-Za-z]:", name) is not None
    return bool(parts[0]) and ".." not in parts and "\\" not in name and not drive


def inert_path(path: str) -> str:
    """A relative path that no spreadsheet takes for a formula and nobody for an address."""
    begins = f"./{path}" if path.startswith((*_FORMULA, " ")) or _SCHEME.match(path) else path
    return f"{begins}/." if begins.endswith(" ") else begins


def inert_text(text: object) -> str:
    """Any text as one printable line that no spreadsheet takes for a formula."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(text)).split()
    return " ".join(words).lstrip("".join(_FORMULA) + " ")


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
                f"first line names columns among {', '.join(_COLUMNS)}"
            )
    for name in header:
        if name not in _COLUMNS:
            raise InputError(f"{where}: column {name!r} is unknown: {', '.join(_COLUMNS)}")
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
        if name in _NUMBERS:
            if not re.fullmatch(r"[0-9]{1,18}", value):
                raise InputError(f"column {name}: {value[:50]!r} is not a whole number")
            values[name] = int(value)
        else:
            values[name] = value.lower() if name == "sha256" else value
    return DatasetEntry(**values)


def _printed(value: object) -> str:
    """A value of a table as text; whole numbers without the point that pandas adds."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _check_text(name: str, value: object) -> None:
    """Refuse text that could be more than text."""
    if value is None:
        return
    if not isinstance(value, str) or not value.isprintable():
        raise InputError(f"column {name}: {value!r} is not one line of printable text")
    if value.startswith(_FORMULA):
        raise InputError(
            f"column {name}: {value[:50]!r} begins like a formula, which spreadsheet "
            "programs would run: change the first character"
        )
    if value != value.strip():
        raise InputError(f"column {name}: {value[:50]!r} begins or ends with a space")


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise InputError(f"column {name}: {value!r} is not one of {', '.join(choices)}")
