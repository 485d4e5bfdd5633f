"""The chunks of the authors' release: ``cells_merged_{start}_to_{end}.npz``.

A chunk holds the three arrays of a CSR matrix and neither genes nor cells: a list of genes must
say what its columns are. Its arrays are copied out of the zip file block by block, so that cells
can be read in runs.
"""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression import CellSource
from sclong_core.expression.reading import require_numbers
from sclong_core.expression.store import refuse_unreadable
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.reading.sorting import VALUES_AT_ONCE, CsrWriter
from sclong_data.reading.stored import Names, turned

_ARRAYS = ("data", "indices", "indptr")
_NAME = re.compile(r"cells_merged_(\d+)_to_(\d+)")
_GENE_FILES = ("vocabulary.tsv", "genes.txt", "selected_genes_27k.txt")


def open_released(
    path: Path, matrix: str | None, scratch: Path, *, label: str, genes: str | None
) -> CellSource:
    """Open a chunk.

    Args:
        path: the file.
        matrix: must be None: there is one.
        scratch: folder for what is read by cells.
        label: the data set's id.
        genes: file that names the columns, relative to the chunk's folder; by default
            ``vocabulary.tsv``, ``genes.txt`` or ``selected_genes_27k.txt`` beside it.

    Raises:
        InputError: it is damaged, there is no list of genes, or it has another length.
    """
    if matrix is not None:
        raise InputError(f"{path} holds one matrix: leave the manifest's column matrix empty")
    vocabulary = GeneVocabulary.read(_gene_file(path, genes))

    def convert(writer: CsrWriter) -> Names:
        with refuse_unreadable(str(path), "the chunk"), _opened(path) as archive:
            writer.cells = _convert(archive, path, writer, len(vocabulary))
        writer.genes = len(vocabulary)
        return {}

    stored = turned(scratch, label, [path], convert)
    numbered = _NAME.search(path.name)
    first = int(numbered.group(1)) if numbered else 0
    names = [str(first + number) for number in range(stored.rows.shape[0])]
    if stored.rows.shape[1] != len(vocabulary):
        raise _other_genes(path, stored.rows.shape[1], len(vocabulary))
    return CellSource(
        name=str(path),
        matrix="npz",
        obs=pd.DataFrame(index=pd.Index(names)),
        var=pd.DataFrame({"gene_symbols": vocabulary.symbols}, index=pd.Index(vocabulary.ids)),
        reader=stored.rows,
    )


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip file; its own kind of error as one that says what to do."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


def _gene_file(path: Path, genes: str | None) -> Path:
    for name in (genes,) if genes is not None else _GENE_FILES:
        if (path.parent / name).is_file():
            return path.parent / name
    listed = genes or ", ".join(_GENE_FILES)
    raise InputError(
        f"{path} does not name its genes, and {listed} is not in its folder: name the list of "
        "genes in the manifest's column genes"
    )


def _convert(archive: zipfile.ZipFile, path: Path, writer: CsrWriter, genes: int) -> int:
    """Write all values; returns the number of cells."""
    held = {Path(name).stem for name in archive.namelist()}
    lacking = [name for name in _ARRAYS if name not in held]
    if lacking:
        raise InputError(f"{path} is not a chunk of cells: it lacks {', '.join(lacking)}")
    with _array(archive, "indptr", path) as (stream, dtype, length):
        indptr = _read(stream, dtype, length).astype(np.int64)
    if not indptr.size or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise InputError(f"{path}: indptr does not rise from 0: it is damaged, copy it again")
    if "shape" in held:
        with _array(archive, "shape", path) as (stream, dtype, length):
            shape = tuple(_read(stream, dtype, length).tolist())
        if shape != (indptr.size - 1, genes):
            raise _other_genes(path, shape[-1], genes)
    with (
        _array(archive, "data", path) as (data, values_dtype, values),
        _array(archive, "indices", path) as (indices, indices_dtype, columns),
    ):
        if not values == columns == indptr[-1]:
            raise InputError(f"{path}: its arrays differ in length: it is damaged, copy it again")
        for start in range(0, values, VALUES_AT_ONCE):
            count = min(VALUES_AT_ONCE, values - start)
            column = _read(indices, indices_dtype, count).astype(np.int64)
            value = _read(data, values_dtype, count).astype(np.float64)
            cell = np.searchsorted(indptr, np.arange(start, start + count), side="right") - 1
            if column.min() < 0 or column.max() >= genes:
                raise _other_genes(path, int(column.max()) + 1, genes)
            if not np.isfinite(value).all():
                first = int(cell[~np.isfinite(value)][0])
                raise InputError(
                    f"{path}: cell {first:,} holds a value that is not a finite number"
                )
            writer.add(cell, column, value)
    return int(indptr.size - 1)


@contextmanager
def _array(
    archive: zipfile.ZipFile, name: str, path: Path
) -> Iterator[tuple[IO[bytes], np.dtype[Any], int]]:
    """The stream of an array's values, their type and number. Objects are never unpickled."""
    with archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
        require_numbers(dtype, str(path), name)
        if len(shape) != 1:
            raise ValueError(f"{name} has {len(shape)} dimensions")
        yield stream, dtype, shape[0]


def _read(stream: IO[bytes], dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    content = stream.read(count * dtype.itemsize)
    if len(content) != count * dtype.itemsize:
        raise ValueError("it ends early")
    return np.frombuffer(content, dtype)


def _other_genes(path: Path, found: int, genes: int) -> InputError:
    return InputError(
        f"{path} has {found:,} columns and its list of genes {genes:,} genes: name the list that "
        "belongs to it in the manifest's column genes"
    )
