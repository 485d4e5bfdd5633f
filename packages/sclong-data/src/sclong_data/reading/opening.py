"""Opening a data set of any format."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from sclong_core.errors import InputError
from sclong_core.expression import CellSource, open_cells
from sclong_core.expression.anndata_files import open_h5ad, open_zarr
from sclong_core.expression.cell_source import checked
from sclong_core.expression.features import types_as_they_are
from sclong_core.expression.reading import TurnedRows
from sclong_core.expression.store import is_zarr_store, refuse_unreadable
from sclong_core.files import missing
from sclong_data.dataset_entry import DatasetEntry
from sclong_data.reading.cellblast import is_cellblast, open_cellblast
from sclong_data.reading.mtx import is_tenx_folder, open_mtx
from sclong_data.reading.r_files import SUFFIXES as R_SUFFIXES
from sclong_data.reading.r_files import open_r
from sclong_data.reading.released import open_released
from sclong_data.reading.sorting import VALUES_AT_ONCE, CsrWriter
from sclong_data.reading.stored import Names, turned
from sclong_data.reading.text import SUFFIXES as TEXT_SUFFIXES
from sclong_data.reading.text import open_text

MATRIX_SUFFIXES = (".mtx", ".mtx.gz")
SUFFIXES = (".h5ad", ".h5", ".loom", ".npz", *MATRIX_SUFFIXES, *TEXT_SUFFIXES, *R_SUFFIXES)
"""Endings of the files that hold a data set."""


def open_dataset(
    entry: DatasetEntry, path: Path, scratch: Path, *, known_genes: Collection[str] = ()
) -> CellSource:
    """Open a data set for reading in blocks of cells, in memory that does not grow with it.

    AnnData (``.h5ad``, ``.zarr``), 10x and Cell BLAST ``.h5``, ``.loom``, 10x folders of
    ``matrix.mtx``, tables of text either way round, files of R (with the extra "r"), and the
    chunks of the authors' release. What cannot be read by cells is turned once into the scratch
    folder, and found there the next time.

    Args:
        entry: says which matrix to read.
        path: its file or folder; see :meth:`~sclong_data.dataset_manifest.Manifest.local_path`.
        scratch: folder for matrices that had to be turned; made if need be.
        known_genes: ids and symbols that help to recognise the axis of genes in tables of text.

    Raises:
        InputError: it is absent, damaged or of another format; the message names the place.
    """
    if not path.exists():
        raise InputError(f"{path} {missing(path)}: check the name of the file")
    path = dataset_in(path)
    with types_as_they_are():
        if path.suffix == ".h5ad":
            return _by_cells(open_h5ad(path, entry.matrix), entry, path, scratch)
        if is_zarr_store(path):
            return _by_cells(open_zarr(path, entry.matrix), entry, path, scratch)
        return _open_other(entry, path, scratch, known_genes)


def _open_other(
    entry: DatasetEntry, path: Path, scratch: Path, known_genes: Collection[str]
) -> CellSource:
    """Open what is not AnnData."""
    name = path.name.lower()
    if path.is_dir() or name.endswith(MATRIX_SUFFIXES):
        return open_mtx(path, entry.matrix, scratch, label=entry.dataset)
    if name.endswith(TEXT_SUFFIXES):
        return open_text(path, entry.matrix, scratch, label=entry.dataset, known_genes=known_genes)
    if name.endswith(R_SUFFIXES):
        return open_r(path, entry.matrix, scratch, label=entry.dataset, known_genes=known_genes)
    if name.endswith(".npz"):
        return open_released(path, entry.matrix, scratch, label=entry.dataset, genes=entry.genes)
    if path.suffix == ".h5" and is_cellblast(path):
        return open_cellblast(path, entry.matrix)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} has an unknown ending (known: {', '.join(SUFFIXES)}): convert it")
    return open_cells(path, matrix=entry.matrix)


def dataset_in(path: Path) -> Path:
    """The data set at a path: itself, or the only one in that folder.

    Raises:
        InputError: a folder holds no data set, or several.
    """
    if not path.is_dir() or is_zarr_store(path) or is_tenx_folder(path):
        return path
    found = list(datasets_within(path))
    if len(found) == 1:
        return found[0]
    listed = ", ".join(str(inner.relative_to(path)) for inner in found[:5]) or "none"
    raise InputError(
        f"{path} must hold one data set, not {listed}: name one in the manifest's column location "
        "(after # in the address of an archive)"
    )


def datasets_within(folder: Path) -> list[Path]:
    """Files and folders that may be data sets, at any depth, sorted; hidden ones are skipped.

    A 10x folder and a zarr store count as one. Links to folders are not followed.
    """
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if is_zarr_store(path) or is_tenx_folder(path):
                found.append(path)
            elif not path.is_symlink():
                found += datasets_within(path)
        elif path.name.lower().endswith(SUFFIXES) and not _companion(path):
            found.append(path)
    return found


def _companion(path: Path) -> bool:
    """Whether a file of text belongs to a matrix beside it."""
    name = path.name.removesuffix(".gz")
    for ending in ("barcodes.tsv", "features.tsv", "genes.tsv"):
        if name.endswith(ending):
            prefix = name.removesuffix(ending)
            return any((path.parent / f"{prefix}matrix{end}").is_file() for end in MATRIX_SUFFIXES)
    return False


def _by_cells(source: CellSource, entry: DatasetEntry, path: Path, scratch: Path) -> CellSource:
    """The source itself, or the same cells read from a matrix turned on disk."""
    if not isinstance(source.reader, TurnedRows):
        return checked(source)
    by_genes = source.reader.by_genes

    def convert(writer: CsrWriter) -> Names:
        genes, cells = by_genes.shape
        with refuse_unreadable(str(path), source.matrix):
            start = 0
            while start < genes:
                limit = by_genes.indptr[start] + VALUES_AT_ONCE
                fitting = int(np.searchsorted(by_genes.indptr, limit, side="right")) - 1
                stop = min(genes, max(start + 1, fitting))
                block = by_genes(start, stop).tocoo()
                writer.add(block.col, block.row + start, block.data)
                start = stop
        writer.cells, writer.genes = cells, genes
        return {}

    sources = (
        [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    )
    stored = turned(scratch, f"{entry.dataset} ({source.matrix})", sources, convert)
    return checked(replace(source, reader=stored.rows))
