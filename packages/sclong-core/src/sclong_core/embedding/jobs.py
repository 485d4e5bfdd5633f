"""Jobs, one file of cells and one of embeddings each; what is asked of them; the record of it.

Everything that can be refused without a model and without reading the cells is refused here.
"""

import importlib.util
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import zarr

import sclong_core
from sclong_core.embedding.block_store import partial_folder
from sclong_core.embedding.inference import vocabulary_of
from sclong_core.embedding.pooling import Pool, check_pool, chosen_pool, pool_width
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import PreparedCells, ReadingOptions, find_cell_files, prepare_cells
from sclong_core.expression.identity import Identity
from sclong_core.expression.store import (
    is_zarr_store,
    open_hdf5,
    open_zarr_store,
    refuse_unreadable,
    store_around,
)
from sclong_core.manifest import CheckpointInfo
from sclong_core.model import ScLong

if TYPE_CHECKING:
    from sclong_core.expression.surveys import Progress


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
            raise ConfigError(
                f"{output} does not end in {suffix}: leave out --format, or rename it"
            )
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
        _LOG.info("%s: skipping %d files in it that are outputs", output, passed)
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
                    f"{job.source}: obsm or uns is not a group, so nothing can be "
                    "added: save the store again with a current anndata"
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
            "%s: needs about %.1f GB, and %.1f GB are free",
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


@dataclass(frozen=True)
class EmbedOptions:
    """What a user chooses about an embedding."""

    pool: Pool | None = None
    """How a cell becomes one vector, see :func:`.pooling.pool_cells`; None is the model's own rule
    where it has one, else "mean"."""
    batch_size: int = 8
    """Cells at a time; results do not depend on it."""
    key: str = "X_sclong"
    """Name of the embedding in ``obsm`` of annotated outputs."""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """How cells are read."""
    resume: bool = False
    """Go on with unfinished work, and pass over outputs that are finished."""
    overwrite: bool = False
    """Replace outputs that are there."""
    progress: bool = False
    """Draw progress bars."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        check_pool(self.pool)
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be a positive integer, not {self.batch_size}")
        if self.key in ("", ".", "..") or "/" in self.key or not self.key.isprintable():
            raise ConfigError(f"key must be a name without a slash, not {self.key!r}")


def describe_work(
    info: CheckpointInfo, model: ScLong, identity: Identity, options: EmbedOptions
) -> dict[str, Any]:
    """All that decides what an embedding is: two runs with the same description may be mixed.

    The input is known by its content, so that moving or touching it is not a change.
    """
    types = options.reading.get("feature_types")
    organism = options.reading.get("organism", "human")
    return {
        "checkpoint": info.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "input_bytes": identity.bytes,
        "input_sha256": identity.sha256,
        "pool": chosen_pool(model, options.pool),
        "matrix": options.reading.get("matrix") or "",
        "gene_column": options.reading.get("gene_column") or "",
        "normalisation": options.reading.get("normalisation", "auto"),
        "duplicates": options.reading.get("duplicates", "error"),
        **({} if types is None else {"feature_types": ", ".join(sorted(types))}),
        **({} if organism == "human" else {"organism": organism}),
    }


def width_of(model: ScLong, pool: Pool | None) -> int:
    """Columns of an embedding."""
    return pool_width(model, chosen_pool(model, pool))


def column_names(model: ScLong, pool: Pool | None) -> list[str]:
    """Names of the columns of an embedding: gene ids for sums of genes, else numbers."""
    if pool == "gene_sums":
        return list(vocabulary_of(model).ids)
    return [f"sclong_{number}" for number in range(width_of(model, pool))]


def open_prepared(
    model: ScLong, source: Path, options: EmbedOptions, progress: "Progress | None" = None
) -> PreparedCells:
    """The cells of a file, matched and checked as the options say."""
    return prepare_cells(
        source,
        vocabulary_of(model),
        model.config.input,
        progress=progress,
        **options.reading,
    )


def describe_run(
    info: CheckpointInfo,
    cells: PreparedCells,
    options: EmbedOptions,
    *,
    work: dict[str, Any],
    device: str,
) -> dict[str, Any]:
    """Where an embedding comes from: plain texts, numbers and lists, for the output."""
    record = {
        "sclong_version": sclong_core.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["sclong", *sys.argv[1:]]),
        "pool": work["pool"],
        "dtype": work["dtype"],
        "device": device,
        "batch_size": options.batch_size,
        "checkpoint": {
            "source": info.source,
            "digest": info.digest,
            "files": {name: item.sha256 for name, item in info.files.items()},
            "origin": str(info.origin.get("kind", "not recorded")),
            "sclong_version": info.sclong_version,
        },
        "cells": without_none(cells.describe()),
        "work": work,
    }
    return {name: utf8(value) for name, value in record.items()}


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """What does not apply is left out: not every reader of AnnData files knows None."""
    return {key: value for key, value in values.items() if value is not None}


def utf8(value: Any) -> Any:
    """Plain values whose texts any file can hold: file names may be bytes that are not UTF-8."""
    if isinstance(value, str):
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {key: utf8(item) for key, item in value.items()}
    return [utf8(item) for item in value] if isinstance(value, list | tuple) else value
