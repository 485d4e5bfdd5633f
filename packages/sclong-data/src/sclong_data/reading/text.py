"""Tables of text: ``.csv``, ``.tsv`` and ``.txt``, plain or gzip, either way round."""

import csv
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression import CellSource
from sclong_data.reading.axes import GENES_AXIS, Layout, find_layout, looks_like_a_gene
from sclong_data.reading.sorting import VALUES_AT_ONCE, CsrWriter
from sclong_data.reading.stored import Names, turned
from sclong_data.text_files import read_lines

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_DELIMITERS = "\t,; "
_NAMES_TRIED = 3_000
_REMEMBERED = 100_000


@dataclass(frozen=True)
class _Header:
    """What the first line says."""

    names: tuple[str, ...]
    """Names of the columns, without what stands above those of the rows."""
    delimiter: str
    line: int = 1
    """Its number."""
    trailing: bool = False
    """Whether each line ends with a delimiter, behind which nothing stands."""


def open_text(
    path: Path,
    matrix: str | None,
    scratch: Path,
    *,
    label: str,
    known_genes: Collection[str] = (),
) -> CellSource:
    """Open a table of numbers whose first row and first column hold names.

    Args:
        path: the file.
        matrix: which way round it is; recognised by default.
        scratch: folder for what is read by cells.
        label: the data set's id.
        known_genes: ids and symbols, which help to recognise the axis.

    Raises:
        InputError: it is not such a table, or a value is not finite: row and column are named.
    """
    header = read_header(path)
    layout = _layout(path, matrix, header, known_genes)

    def convert(writer: CsrWriter) -> Names:
        rows = _convert(path, header, writer, by_genes=layout == "genes-by-cells")
        if layout == "genes-by-cells":
            writer.cells, writer.genes = len(header.names), len(rows)
            return {"cells": header.names, "genes": rows}
        writer.cells, writer.genes = len(rows), len(header.names)
        return {"cells": rows, "genes": header.names}

    stored = turned(scratch, f"{label} ({layout})", [path], convert)
    return CellSource(
        name=str(path),
        matrix=layout,
        obs=pd.DataFrame(index=pd.Index(stored.names["cells"])),
        var=pd.DataFrame(index=pd.Index(stored.names["genes"])),
        reader=stored.rows,
    )


def table_layout(path: Path, known_genes: Collection[str] = ()) -> Layout:
    """Which way round a table is.

    Raises:
        InputError: it is not a table of expression, or it is not clear.
    """
    header = read_header(path)
    layout = _layout(path, None, header, known_genes)
    for _ in islice(_blocks(path, header, 1), 1):
        pass
    return layout


def read_header(path: Path) -> _Header:
    """Names of the columns.

    Raises:
        InputError: the file is empty, holds one line, or its first line has no names.
    """
    lines = list(islice(_lines(path), 2))
    if len(lines) < 2:
        raise InputError(f"{path} has no table: expected a line of names and lines of numbers")
    (place, first), (second_place, second) = lines
    delimiter = _delimiter(first, second)
    names, row = _split(first, delimiter), _split(second, delimiter)
    trailing = len(names) > 2 and not names[-1].strip() and not row[-1].strip()
    if trailing:
        names, row = names[:-1], row[:-1]
    corner = ""
    if len(names) == len(row):
        corner, *names = names
    elif len(names) != len(row) - 1:
        raise InputError(
            f"{path}: line {place} has {len(names)} columns and line {second_place} has "
            f"{len(row)}: it is damaged, or no table"
        )
    if not names:
        raise InputError(f"{path} has a single column: expected names and then numbers")
    if all(map(_number, names)) and not _counted(corner, names):
        raise InputError(
            f"{path}: line {place} holds numbers where names belong: add a line of names"
        )
    return _Header(tuple(name.strip() for name in names), delimiter, place, trailing)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    return ((number, line) for number, line in read_lines(path) if line.strip())


def _delimiter(first: str, second: str) -> str:
    """What separates columns: that by which the two lines have most, of those that fit."""

    def rank(delimiter: str) -> tuple[bool, int]:
        columns, others = len(_split(first, delimiter)), len(_split(second, delimiter))
        return others > 1 and columns in (others, others - 1), columns

    return max(_DELIMITERS, key=rank)


def _counted(corner: str, names: Sequence[str]) -> bool:
    """Whether numbers in the first line are names: columns counted from 0 or 1 on."""
    start = names[0].strip()
    counted = start in ("0", "1") and [name.strip() for name in names] == [
        str(int(start) + place) for place in range(len(names))
    ]
    return counted and not looks_like_a_gene(corner)


def _layout(
    path: Path, matrix: str | None, header: _Header, known_genes: Collection[str]
) -> Layout:
    if matrix in GENES_AXIS:
        return matrix
    if matrix is not None:
        raise InputError(
            f"{path} has no matrix {matrix!r}: of a table of text it says {' or '.join(GENES_AXIS)}"
        )
    names = [
        _split(line, header.delimiter)[0].strip()
        for _, line in islice(_lines(path), 1, 1 + _NAMES_TRIED)
    ]
    return find_layout(header.names, names, str(path), known_genes)


def _convert(path: Path, header: _Header, writer: CsrWriter, *, by_genes: bool) -> list[str]:
    """Write every value; returns the names of the rows."""
    rows: list[str] = []
    for names, values in _blocks(path, header, max(1, VALUES_AT_ONCE // len(header.names))):
        place, column = np.nonzero(values)
        place_in_all = place + len(rows)
        cell, gene = (column, place_in_all) if by_genes else (place_in_all, column)
        writer.add(cell, gene, values[place, column])
        rows += names
    return rows


def _blocks(
    path: Path, header: _Header, rows: int
) -> Iterator[tuple[list[str], npt.NDArray[np.float64]]]:
    """Names and values of some rows at a time."""
    lines = islice(_lines(path), 1, None)
    numbers = _Numbers()
    while block := list(islice(lines, rows)):
        yield _parsed(path, header, block, numbers)


class _Numbers(dict[str, float]):
    """Numbers by their text: most values of a table are the same few."""

    def __missing__(self, text: str) -> float:
        value = float(text)
        if "_" in text or not text.isascii() or not math.isfinite(value):
            raise ValueError(text)
        if len(self) < _REMEMBERED:
            self[text] = value
        return value


def _parsed(
    path: Path, header: _Header, block: Sequence[tuple[int, str]], numbers: _Numbers
) -> tuple[list[str], npt.NDArray[np.float64]]:
    names = []
    found = np.empty((len(block), len(header.names)))
    for place, (number, line) in enumerate(block):
        quoted = '"' in line
        name, *values = _split(line, header.delimiter) if quoted else line.split(header.delimiter)
        names.append(name.strip())
        if header.trailing and values and not values[-1].strip():
            values.pop()
        try:
            if len(values) != len(header.names):
                raise _mistake(path, header, number, line)
            found[place] = np.fromiter(map(numbers.__getitem__, values), np.float64)
        except ValueError as error:
            raise _mistake(path, header, number, line) from error
    return names, found


def _mistake(path: Path, header: _Header, number: int, line: str) -> InputError:
    """What is wrong with a line."""
    row = _split(line, header.delimiter)
    if header.trailing and not row[-1].strip():
        row.pop()
    where = f"{path}, line {number} (row {row[0][:50]!r})"
    if len(row) != len(header.names) + 1:
        return InputError(
            f"{where}: {len(row) - 1} values for {len(header.names)} columns: the file is cut "
            "short or damaged"
        )
    for column, value in zip(header.names, row[1:], strict=True):
        if not _number(value) or not math.isfinite(float(value)):
            shown = repr(value[:50]) if value.strip() else "empty"
            return InputError(
                f"{where}, column {column[:50]!r}: {shown} is not a finite number: "
                f"expression must be numbers, 0 where none was measured{_advice(value)}"
            )
    return InputError(f"{where}: it is not a row of numbers")


def _advice(value: str) -> str:
    """What to do about numbers as they are written in some countries."""
    if re.fullmatch(r"[-+]?\d+([.,' ]\d+)+", value.strip()):
        return "; write them with a point for decimals, and nothing between thousands"
    return ""


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), []) or [""]


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.isascii()
