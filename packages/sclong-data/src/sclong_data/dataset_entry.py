"""A data set: where it is, what it holds, and how its values may be written."""

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import unquote, urlsplit

from sclong_core.errors import InputError

SourceName = Literal["local", "url", "cellxgene", "hca", "cellblast", "release"]
NormalisationName = Literal["auto", "raw", "log1p"]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_FORMULA = ("=", "+", "-", "@")
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


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
        for name in NUMBERS:
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


COLUMNS = tuple(field.name for field in dataclasses.fields(DatasetEntry))
NUMBERS = ("bytes", "cells")
_TEXT = tuple(name for name in COLUMNS if name not in (*NUMBERS, "dataset"))


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
