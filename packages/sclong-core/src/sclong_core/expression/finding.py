"""Finding the files of cells in folders."""

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

from sclong_core.errors import InputError
from sclong_core.expression.sources import SUFFIXES
from sclong_core.expression.store import is_zarr_store
from sclong_core.files import missing


def find_cell_files(paths: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    """Files of cells among ``paths`` and in the folders among them, at any depth.

    A zarr store counts as one file. Hidden files and folders in folders are passed over; links
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
            raise InputError(f"{path} has no ending that is known: one of {', '.join(SUFFIXES)}")
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
