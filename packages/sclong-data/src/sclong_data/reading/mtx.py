"""10x folders: ``matrix.mtx`` with ``barcodes.tsv`` and ``features.tsv`` or ``genes.tsv``."""

import gzip
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression import CellSource
from sclong_core.expression.cell_source import checked
from sclong_core.expression.store import refuse_unreadable
from sclong_data.reading.sorting import CsrWriter
from sclong_data.reading.stored import Names, turned
from sclong_data.text_files import read_lines

_LOG = logging.getLogger("sclong")
_MATRICES = (".mtx", ".mtx.gz")
_ENTRIES_AT_ONCE = 1 << 20
_FEATURES = ("features", "genes")
_COLUMNS = ("gene_ids", "gene_symbols", "feature_types")


@dataclass(frozen=True)
class TenxFolder:
    """The three files of a matrix."""

    matrix: Path
    barcodes: Path
    features: Path

    @classmethod
    def find(cls, path: Path) -> "TenxFolder":
        """The files in a folder, or those beside a matrix (names may share a prefix).

        Raises:
            InputError: one is missing, or there are several matrices.
        """
        matrix = path if path.is_file() else _only_matrix(path)
        prefixes, folder = _prefixes(matrix), matrix.parent
        return cls(
            matrix,
            _beside(folder, prefixes, ["barcodes.tsv"], matrix),
            _beside(folder, prefixes, [f"{name}.tsv" for name in _FEATURES], matrix),
        )


def is_tenx_folder(path: Path) -> bool:
    """Whether a folder holds such a matrix."""
    return any((path / f"matrix.mtx{ending}").is_file() for ending in ("", ".gz"))


def open_mtx(path: Path, matrix: str | None, scratch: Path, *, label: str) -> CellSource:
    """Open a folder, or the ``.mtx`` file in it.

    Features that are not genes are left out, and said.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others; the line is named.
    """
    if matrix is not None:
        raise InputError(f"{path} holds one matrix: leave the manifest's column matrix empty")
    files = TenxFolder.find(path)
    obs, var = _barcodes(files.barcodes), _features(files.features)

    def convert(writer: CsrWriter) -> Names:
        _convert(files, writer, len(obs), len(var))
        return {}

    sources = [files.matrix, files.barcodes, files.features]
    stored = turned(scratch, label, sources, convert)
    return checked(
        CellSource(name=str(path), matrix="matrix", obs=obs, var=var, reader=stored.rows)
    )


def _only_matrix(folder: Path) -> Path:
    found = sorted(folder.glob("*matrix.mtx")) + sorted(folder.glob("*matrix.mtx.gz"))
    if len(found) != 1:
        listed = ", ".join(path.name for path in found[:5]) or "none"
        raise InputError(f"{folder} must hold one matrix.mtx, not {listed}: name the file itself")
    return found[0]


def _beside(folder: Path, prefixes: Sequence[str], names: Sequence[str], matrix: Path) -> Path:
    for prefix in prefixes:
        for name in names:
            for ending in ("", ".gz"):
                if (folder / f"{prefix}{name}{ending}").is_file():
                    return folder / f"{prefix}{name}{ending}"
    listed = " or ".join(f"{prefixes[0]}{name}" for name in names)
    raise InputError(f"{matrix} lacks {listed} beside it: copy the whole folder")


def _prefixes(matrix: Path) -> list[str]:
    """What the names of the files beside a matrix may begin with, the likeliest first."""
    stem = matrix.name.removesuffix(".gz").removesuffix(".mtx")
    found = [stem.removesuffix("matrix")]
    while match := re.match(r"(.*[._-])[^._-]+[._-]?$", found[-1]):
        found.append(match[1])
    alone = sum(1 for path in matrix.parent.iterdir() if path.name.endswith(_MATRICES)) == 1
    return [*dict.fromkeys(found), *([""] if alone else [])]


def _barcodes(path: Path) -> pd.DataFrame:
    rows = [cells for _, cells in _table(path)]
    names = [cells[0] for cells in rows]
    return pd.DataFrame(index=pd.Index(names, name="barcode"))


def _features(path: Path) -> pd.DataFrame:
    """Ids, symbols and types of the features; the symbols are the index, as in scanpy."""
    rows = _table(path)
    widths = {min(len(cells), len(_COLUMNS)) for _, cells in rows}
    if len(widths) > 1:
        number, short = next((number, cells) for number, cells in rows if len(cells) < max(widths))
        raise InputError(f"{path}, line {number}: {len(short)} columns, others have more")
    width = widths.pop() if widths else 0
    columns = {
        name: [cells[place] for _, cells in rows] for place, name in enumerate(_COLUMNS[:width])
    }
    symbols = columns.pop("gene_symbols", columns.get("gene_ids", []))
    return pd.DataFrame(columns, index=pd.Index(symbols, name="gene_symbols"))


def _table(path: Path) -> list[tuple[int, list[str]]]:
    """The lines of a table of names with their numbers, without the row numbers that R adds."""
    rows = [
        (number, [cell.strip().strip('"') for cell in line.split("\t")])
        for number, line in read_lines(path)
        if line.strip()
    ]
    numbered = len(rows) > 1 and all(
        len(cells) > 1 and cells[0] == str(place) for place, (_, cells) in enumerate(rows, 1)
    )
    if not numbered:
        return rows
    _LOG.info("%s: its first column numbers the rows and is left out", path)
    return [(number, cells[1:]) for number, cells in rows]


def _other_size(files: TenxFolder, shape: tuple[int, int], genes: int, cells: int) -> InputError:
    """That the files do not fit, and which line too many is the reason."""
    rows, columns = shape
    said = (
        f"{files.matrix} is {rows:,} x {columns:,}, but {files.features.name} names {genes:,} "
        f"genes and {files.barcodes.name} {cells:,} cells"
    )
    headed = [
        path.name
        for path, count, other in (
            (files.features, genes, cells),
            (files.barcodes, cells, genes),
        )
        if count - 1 in shape and count not in shape and (other in shape or other - 1 in shape)
    ]
    if headed:
        beginnings = [
            repr(next((line for _, line in read_lines(path) if line.strip()), "")[:50])
            for path in (files.features, files.barcodes)
            if path.name in headed
        ]
        return InputError(
            f"{said}: the first line of {' and of '.join(headed)} ({', '.join(beginnings)}) seems "
            "to be a header: remove it"
        )
    return InputError(f"{said}: these files are not one set")


def _convert(files: TenxFolder, writer: CsrWriter, cells: int, genes: int) -> None:
    name = str(files.matrix)
    with refuse_unreadable(name, "the matrix"), _open(files.matrix) as handle:
        rows, columns, expected, whole = _size(handle, name)
        if (rows, columns) not in ((genes, cells), (cells, genes)):
            raise _other_size(files, (rows, columns), genes, cells)
        by_genes = (rows, columns) == (genes, cells)
        found = 0
        for block in _entries(handle, files.matrix, whole=whole):
            row, column, values = block[0] - 1, block[1] - 1, block[2]
            inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            whole_places = (row % 1 == 0) & (column % 1 == 0)
            if not (inside & whole_places & np.isfinite(values)).all():
                raise _mistake(files.matrix, rows, columns)
            writer.add(*((column, row) if by_genes else (row, column)), values)
            found += values.size
    if found != expected:
        raise InputError(
            f"{name} holds {found:,} of the {expected:,} values that its head announces: it is "
            "cut short or damaged, copy it again"
        )
    writer.cells, writer.genes = cells, genes


def _open(path: Path) -> TextIO:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return (
        gzip.open(path, "rt", encoding="utf-8-sig") if packed else path.open(encoding="utf-8-sig")
    )


def _size(handle: TextIO, name: str) -> tuple[int, int, int, bool]:
    """Rows, columns, values, and whether those are integers, from the head of the file."""
    head = handle.readline().lower().split()
    if head[:3] != ["%%matrixmarket", "matrix", "coordinate"]:
        raise InputError(f"{name} is not a sparse Matrix Market file: it does not begin like one")
    if head[3:] not in (["integer", "general"], ["real", "general"]):
        raise InputError(f"{name} holds {' '.join(head[3:])} values: expected real or integer")
    line = handle.readline()
    while line.startswith("%") or (line and not line.strip()):
        line = handle.readline()
    try:
        rows, columns, values = map(int, line.split())
    except ValueError as error:
        raise InputError(f"{name}: {line.strip()[:50]!r} is not the size of a matrix") from error
    return rows, columns, values, head[3] == "integer"


def _entries(handle: TextIO, path: Path, *, whole: bool) -> Iterator[list[npt.NDArray[Any]]]:
    """Rows, columns and values, some at a time."""
    try:
        with pd.read_csv(
            handle,
            sep=r"\s+",
            header=None,
            names=["row", "column", "value"],
            index_col=False,
            dtype=np.float64,  # R writes the places 1000 and 100000 as 1e+03 and 1e+05
            chunksize=_ENTRIES_AT_ONCE,
            comment="%",
            # The fast parser is exact for integers, and not quite for other numbers.
            float_precision=None if whole else "round_trip",
            on_bad_lines="error",
        ) as blocks:
            for block in blocks:
                yield [block[name].to_numpy() for name in ("row", "column", "value")]
    except pd.errors.EmptyDataError:
        return
    except (ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise _mistake(path, None, None) from error


def _mistake(path: Path, rows: int | None, columns: int | None) -> InputError:
    """The first line that is wrong."""
    sized = False
    for number, line in read_lines(path):
        if not line.strip() or line.startswith("%"):
            continue
        if not sized:
            sized = True
            continue
        if reason := _reason(line.split(), rows, columns):
            return InputError(f"{path}, line {number}: {line[:50]!r} {reason}")
    return InputError(f"{path}: its values cannot be read: copy it again")


def _reason(parts: list[str], rows: int | None, columns: int | None) -> str | None:
    if len(parts) != 3:
        return "is not a row, a column and a value"
    try:
        row, column, value = float(parts[0]), float(parts[1]), float(parts[2])
    except ValueError:
        return "is not a row, a column and a value"
    if not np.isfinite(value):
        return "holds a value that is not a finite number"
    for place, size, what in ((row, rows, "row"), (column, columns, "column")):
        if not place.is_integer():
            return f"names a {what} that is not a whole number"
        if place < 1 or (size is not None and place > size):
            return f"names a {what} outside 1 to {size}"
    return None
