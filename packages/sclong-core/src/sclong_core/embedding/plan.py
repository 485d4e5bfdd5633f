"""From inputs and an output to jobs: one file of cells, one file of embeddings each.

Everything that can be refused without a model and without reading the cells is refused here.
"""

import importlib.util
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import zarr

from sclong_core.embedding.block_store import partial_folder
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import find_cell_files
from sclong_core.expression.store import (
    is_zarr_store,
    open_hdf5,
    open_zarr_store,
    refuse_unreadable,
    store_around,
)

_LOG = logging.getLogger("sclong")
FORMATS = (".h5ad", ".zarr", ".npy", ".parquet")
"""Endings of outputs."""
ANNOTATED = (".h5ad", ".zarr")
"""Those that hold AnnData."""


@dataclass(frozen=True)
class Job:
    """One file to embed."""

    source: Path
    """File of cells."""
    output: Path
    """File of embeddings, in the format of its ending."""

    @property
    def same_format(self) -> bool:
        """Whether the output is a copy of the input with the embedding added."""
        return self.output.suffix in ANNOTATED and self.output.suffix == _format(self.source)


def plan_jobs(inputs: Sequence[Path], output: Path, *, suffix: str | None = None) -> list[Job]:
    """The files to embed, and where to.

    A single file goes to ``output``, whose ending decides the format. Several files, or a folder,
    go to the folder ``output``, one file each, under the same relative names.

    Args:
        inputs: files of cells, or folders with files of cells.
        output: a file, or a folder.
        suffix: format of the files of a folder; by default ``.h5ad``.

    Raises:
        ConfigError: the output's ending is not known, or its format needs what is not installed.
        InputError: there are no inputs, or two of them have one name.
    """
    single = len(inputs) == 1 and (not inputs[0].is_dir() or is_zarr_store(inputs[0]))
    if single:
        if suffix is not None and output.suffix != suffix:
            raise ConfigError(f"{output} does not end in {suffix}: leave out --format, or rename")
        jobs = [Job(find_cell_files(inputs)[0], output)]
    else:
        if output.suffix in FORMATS:
            raise ConfigError(
                f"there are several inputs: {output} must be a folder, not a {output.suffix} file"
            )
        jobs = _many(inputs, output, suffix or ".h5ad")
    for job in jobs:
        _check_format(job.output)
        _check_place(job)
    return jobs


def _many(inputs: Sequence[Path], output: Path, suffix: str) -> list[Job]:
    """One job for every file, none for what lies in the output folder."""
    jobs: dict[Path, Job] = {}
    seen: set[Path] = set()
    passed = 0
    for path in inputs:
        folder = path if path.is_dir() and not is_zarr_store(path) else path.parent
        for source in find_cell_files([path]):
            if source.resolve() in seen:
                continue
            seen.add(source.resolve())
            if source.resolve().is_relative_to(output.resolve()):
                passed += 1
                continue
            target = output / source.relative_to(folder).with_suffix(suffix)
            if (other := jobs.setdefault(target, Job(source, target))).source != source:
                raise InputError(
                    f"{other.source} and {source} would both become {target}: rename one of them, "
                    "or embed them into two folders"
                )
    if passed:
        _LOG.info("%s: %d files in it are outputs and are not embedded", output, passed)
    if not jobs:
        raise InputError(f"no file of cells outside the output folder {output}")
    return list(jobs.values())


def _check_place(job: Job) -> None:
    """Refuse an output that would replace its input, or lie in it or another store."""
    source, output = job.source.resolve(), job.output.resolve()
    if output == source or (os.path.lexists(output) and output.samefile(source)):
        raise InputError(f"{job.output} is the input itself: choose another output")
    if source.is_dir() and output.is_relative_to(source):
        raise InputError(f"{job.output} lies in its own input: choose another output")
    if source.is_relative_to(output):
        raise InputError(f"{job.source} lies in the output {job.output}: choose another output")
    if (store := store_around(output.parent)) is not None:
        raise InputError(f"{job.output} lies in the zarr store {store}: choose another output")


def _check_format(output: Path) -> None:
    if output.suffix not in FORMATS:
        raise ConfigError(f"{output} must end in one of {', '.join(FORMATS)}")
    if output.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError("parquet needs pyarrow: pip install 'sclong-core[parquet]'")


def check_key(job: Job, key: str) -> None:
    """Refuse an input whose copy would lose something to the embedding.

    Raises:
        InputError: it holds an embedding of that name, or a foreign ``uns["sclong"]``.
    """
    if not job.same_format:
        return
    if job.source.is_dir():
        store = open_zarr_store(job.source, use_consolidated=False)
        with refuse_unreadable(str(job.source), "obsm"):
            found = _taken(store, key)
            if not all(isinstance(store.get(name, store), zarr.Group) for name in ("obsm", "uns")):
                raise InputError(
                    f"{job.source}: obsm or uns is not a group, so that nothing can be added: "
                    "write the store again with a current anndata"
                )
    else:
        with open_hdf5(job.source) as file, refuse_unreadable(str(job.source), "obsm"):
            found = _taken(file, key)
    if found:
        raise InputError(
            f"{job.source} already has {found}: name the new embedding with --key, or remove it"
        )


def _taken(store: Any, key: str) -> str:
    if "obsm" in store and key in store["obsm"]:
        return f"obsm[{key!r}]"
    if "uns/sclong" in store and not isinstance(store["uns/sclong"], h5py.Group | zarr.Group):
        return "uns['sclong'], which is not sclong's"
    return ""


def warn_of_space(job: Job, cells: int, width: int) -> None:
    """Warn where the disk seems too small for blocks and output."""
    needed = 2 * cells * width * 4
    if job.output.suffix in ANNOTATED:
        needed += _bytes(job.source)
    existing = next(parent for parent in job.output.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        _LOG.warning(
            "%s: about %.1f GB are needed, %.1f GB are free",
            partial_folder(job.output).parent,
            needed / 1e9,
            free / 1e9,
        )


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())


def _format(source: Path) -> str:
    return ".zarr" if source.is_dir() else source.suffix
