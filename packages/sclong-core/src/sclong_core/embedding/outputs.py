"""What is under the names that an embedding needs, and whether it may be replaced.

An output may have files beside it: a record, the names of cells, a folder of unfinished work.
None of what is there is replaced unless sclong wrote it and the user asked for it.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sclong_core.embedding.block_store import partial_folder
from sclong_core.embedding.jobs import Job
from sclong_core.embedding.tables import cell_names_file, is_cell_names_file, read_sidecar, sidecar
from sclong_core.errors import InputError
from sclong_core.expression.store import is_zarr_store

_BLOCK_BYTES = 100
"""What a block adds to the path of its folder."""


def check_output(
    job: Job, *, overwrite: bool, work: Mapping[str, Any] | None = None
) -> frozenset[Path]:
    """Refuse an output that is there, or cannot be written.

    Args:
        job: whose output it is.
        overwrite: replace an earlier output.
        work: what is resumed, if so: files that an interrupted run of the same work left beside
            the output are replaced, too.

    Returns:
        The files beside the output that are there and may be replaced.

    Raises:
        InputError: it is there and ``overwrite`` is false, it is something else than it seems, or
            a name is too long for the file system.
        OSError: its folder cannot be written to.
    """
    output = job.output
    existing = next(parent for parent in output.absolute().parents if parent.exists())
    if not existing.is_dir():
        raise OSError(f"{existing} is not a folder: {output} cannot be written")
    _check_lengths(output, existing)
    if os.path.lexists(output):
        _check_replaceable(output, overwrite=overwrite)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OSError(f"{existing} cannot be written to: choose another output")
    beside = [path for path in _beside(output) if os.path.lexists(path)]
    for path in beside:
        _check_beside(path, output, overwrite=overwrite, work=work)
    return frozenset(beside)


def _check_replaceable(output: Path, *, overwrite: bool) -> None:
    if not overwrite:
        raise InputError(
            f"{output} already exists: choose another name, or replace it with --overwrite"
        )
    stored_as_folder = output.suffix == ".zarr"
    plain = stat.S_ISREG(output.stat().st_mode) if output.exists() else output.is_symlink()
    if not (is_zarr_store(output) if stored_as_folder else plain):
        kind = "zarr store" if stored_as_folder else "file"
        raise InputError(f"{output} is not a {kind}: it is not overwritten")
    if stored_as_folder and output.is_symlink():
        raise InputError(f"{output} is a link: it is not overwritten; name its target")


def _beside(output: Path) -> list[Path]:
    """Files that belong to an output."""
    files = {".npy": [sidecar, cell_names_file], ".parquet": [sidecar]}
    return [named(output) for named in files.get(output.suffix, [])]


def _check_beside(
    path: Path, output: Path, *, overwrite: bool, work: Mapping[str, Any] | None
) -> None:
    """Refuse to replace a file beside an output that may not be."""
    record = read_sidecar(path) if path == sidecar(output) else None
    ours = record is not None or (path == cell_names_file(output) and is_cell_names_file(path))
    if overwrite and ours:
        return
    if ours and work is not None and partial_folder(output).is_dir():
        known = {name: record["work"].get(name) for name in work} if record else work
        if known == work:
            return
    advice = "scLong did not write it; move it away" if overwrite else "move it away"
    if ours:
        advice = "choose another name for the output, or replace them with --overwrite"
    raise InputError(f"{path} already exists beside {output.name}: {advice}")


def _check_lengths(output: Path, existing: Path) -> None:
    """Refuse names that are too long for the file system before anything is computed."""
    name_limit, path_limit = (
        os.pathconf(existing, limit) for limit in ("PC_NAME_MAX", "PC_PATH_MAX")
    )
    for path in (output, partial_folder(output), *_beside(output)):
        if len(os.fsencode(path.name)) > name_limit:
            raise InputError(
                f"the name {path.name[:40]}... is longer than the {name_limit} bytes that the "
                "file system allows: choose a shorter name for the output"
            )
    if len(os.fsencode(partial_folder(output))) + _BLOCK_BYTES > path_limit:
        raise InputError(
            f"the path of {output.name} is longer than the {path_limit} bytes that the system "
            "allows: choose a place with a shorter one"
        )
