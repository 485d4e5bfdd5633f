"""Finding files of cells in folders, and opening them by their format."""

from collections.abc import Collection, Iterable, Iterator
from os import PathLike
from pathlib import Path

from sclong_core.errors import InputError
from sclong_core.expression.anndata_files import open_h5ad, open_zarr
from sclong_core.expression.cell_source import CellSource, checked
from sclong_core.expression.loom import open_loom
from sclong_core.expression.store import is_zarr_store
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
            f"{path} has an unknown ending (known: {', '.join(SUFFIXES)}): convert it "
            "to .h5ad, or rename it to the ending of its format"
        )
    return checked(source, feature_types)


def find_cell_files(paths: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    """Files of cells among ``paths`` and in the folders among them, at any depth.

    A zarr store counts as one file. Hidden files and folders in folders are skipped; links
    are followed, each real file being taken once.

    Returns:
        The files, sorted.

    Raises:
        InputError: a path does not exist, a file has no ending that is known, or nothing is found.
    """
    named = [paths] if isinstance(paths, str | PathLike) else paths
    asked = [Path(path) for path in named]
    found: dict[Path, Path] = {}
    for path in asked:
        if not path.exists():
            raise InputError(f"{path} {missing(path)}: check the name")
        if path.is_file() and path.suffix not in SUFFIXES:
            raise InputError(f"{path} has an unknown ending: use one of {', '.join(SUFFIXES)}")
        for file in sorted(_within(path, set())):
            found.setdefault(file.resolve(), file)
    if not found:
        listed = ", ".join(map(str, asked)) or "no folder"
        raise InputError(f"no file of cells ({', '.join(SUFFIXES)}) in {listed}")
    return sorted(found.values())


def _within(path: Path, entered: set[Path]) -> Iterator[Path]:
    """The files at or under a path; ``entered`` holds real folders, against loops of links."""
    if path.is_file() or is_zarr_store(path):
        if path.suffix in SUFFIXES or path.is_dir():
            yield path
        return
    real = path.resolve()
    if real in entered or not path.is_dir():
        return
    entered.add(real)
    for inner in path.iterdir():
        if not inner.name.startswith("."):
            yield from _within(inner, entered)
