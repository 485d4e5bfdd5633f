"""The matrices of Cell Ranger and STARsolo: the same cells several times, of which one is taken.

``outs`` of ``cellranger count`` holds the called cells (``filtered_feature_bc_matrix``) and all
barcodes (``raw_feature_bc_matrix``), each as ``.h5`` and as a folder; those of several samples have
the same names. Beside them stand files that are not cells: ``molecule_info.h5`` and ``analysis``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py

from sclong_core.errors import InputError
from sclong_core.expression.store import open_hdf5

_MATRIX = re.compile(
    r"(?P<before>(?:.*[._-])?)(?P<kind>raw|filtered)_(?:feature|gene)_bc_matri(?:x|ces)"
    r"(?:_(?:h5|mex))?(?P<after>(?:[._-].*)?)",
    re.IGNORECASE,
)
_KINDS = ("filtered", "raw")
_ARRAYS = {"data", "indices", "indptr"}
_INSIDE = h5py.HardLink
_SAMPLES = "per_sample_outs"


@dataclass(frozen=True)
class _Copy:
    """One file or folder of a matrix that may be there several times."""

    path: Path
    of: tuple[str, ...]
    """What is the same for all copies."""
    kind: str
    """``filtered`` or ``raw``."""
    folder: bool
    run: Path
    """The folder that the program wrote it to."""

    @property
    def rank(self) -> tuple[int, bool]:
        """Which copy to take: that of called cells, and of those the ``.h5`` file."""
        return _KINDS.index(self.kind), self.folder


def without_copies(paths: Iterable[Path], root: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Data sets without those that hold the same cells again, or no cells.

    Args:
        paths: files and folders that may be data sets.
        root: the folder that they are in.

    Returns:
        Those to keep in their order, and the others with the reason for each.
    """
    paths = list(paths)
    copies = {path: found for path in paths if (found := _copy(path, root)) is not None}
    best: dict[tuple[str, ...], _Copy] = {}
    for found in copies.values():
        before = best.get(found.of)
        if before is None or found.rank < before.rank:
            best[found.of] = found
    samples = {path.parts[: path.parts.index(_SAMPLES)] for path in paths if _SAMPLES in path.parts}
    runs = {copy.run for copy in copies.values()}
    kept: list[Path] = []
    left: list[tuple[Path, str]] = []
    for path in paths:
        copy = copies.get(path)
        chosen = None if copy is None else best[copy.of]
        if chosen is not None and copy is not None and copy.rank != chosen.rank:
            what = "the same cells" if copy.kind == chosen.kind else "all barcodes; the cells"
            left.append((path, f"holds {what} that are taken from {chosen.path.name}"))
        elif path.parts[-3:-1] == ("multi", "count") and path.parts[:-3] in samples:
            left.append((path, f"holds the barcodes of all samples; those in {_SAMPLES} are taken"))
        elif any(folder.name == "analysis" and folder.parent in runs for folder in path.parents):
            left.append((path, "belongs to the analysis that Cell Ranger made of the cells"))
        elif path.suffix == ".h5" and path.is_file() and not _holds_cells(path):
            left.append((path, "is not a matrix of cells"))
        else:
            kept.append(path)
    return kept, left


def _copy(path: Path, root: Path) -> _Copy | None:
    """What a name says of a matrix; None where it is not one of those."""
    inside = path.relative_to(root).parts
    above = root.absolute().parts
    folder = path.is_dir()
    for place, part in enumerate(inside):
        match = _MATRIX.fullmatch(_stem(part))
        if match:
            named = (match["before"].lower(), match["after"].lower())
            return _Copy(
                path,
                (*above, *inside[:place], *named),
                match["kind"].lower(),
                folder,
                root.joinpath(*inside[:place]),
            )
    if folder and path.name in _KINDS:  # STARsolo's Gene/raw and Gene/filtered
        return _Copy(path, (*above, *inside[:-1], "/"), path.name, folder, path.parent)
    return None


def _stem(name: str) -> str:
    return name.removesuffix(".h5")


def _holds_cells(path: Path) -> bool:
    """Whether an HDF5 file has a layout that is read; a damaged one is left for the reader."""
    try:
        with open_hdf5(path) as file:
            names = set(file)
            if {"obs", "var"} <= names or {"exprs", "obs_names", "var_names"} <= names:
                return True
            inside = [name for name in names if isinstance(file.get(name, getlink=True), _INSIDE)]
            groups = [file[name] for name in inside]
            return any(isinstance(group, h5py.Group) and set(group) >= _ARRAYS for group in groups)
    except (InputError, OSError, RuntimeError, ValueError, KeyError):
        return True
