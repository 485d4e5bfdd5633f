"""Opening files of cells by their format."""

from collections.abc import Collection
from os import PathLike
from pathlib import Path

from sclong_core.errors import InputError
from sclong_core.expression.anndata_files import open_h5ad, open_zarr
from sclong_core.expression.cell_source import CellSource, checked
from sclong_core.expression.loom import open_loom
from sclong_core.expression.tenx import open_tenx
from sclong_core.files import missing

SUFFIXES = (".h5ad", ".zarr", ".h5", ".loom")
"""Endings of the files that :func:`open_cells` reads."""


def open_cells(
    path: str | PathLike[str],
    *,
    matrix: str | None = None,
    feature_types: Collection[str] | None = None,
) -> CellSource:
    """Open a file of cells for reading in runs.

    Args:
        path: ``.h5ad`` or ``.zarr`` (AnnData), ``.h5`` (10x Genomics) or ``.loom``.
        matrix: the matrix to read: ``X`` (default), ``raw``, the name of a layer, or a genome of
            an older 10x file.
        feature_types: types of features that are genes, as the file writes them; the usual ones by
            default. Other features are left out.

    Raises:
        InputError: the file is absent, damaged, empty or of another format, holds no such matrix,
            or types of features that are not known.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} {missing(path)}: check the name of the file")
    if path.is_dir():
        source = open_zarr(path, matrix)
    elif path.suffix == ".h5ad":
        source = open_h5ad(path, matrix)
    elif path.suffix == ".h5":
        source = open_tenx(path, matrix)
    elif path.suffix == ".loom":
        source = open_loom(path, matrix)
    else:
        raise InputError(
            f"{path} has no ending that is known ({', '.join(SUFFIXES)}): "
            "convert it to .h5ad, or name it by its format"
        )
    return checked(source, feature_types)
