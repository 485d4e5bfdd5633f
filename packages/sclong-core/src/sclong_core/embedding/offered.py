"""Embedding files with models that other installed packages offer.

A package offers models by an entry point of the group ``sclong.encoders`` that gives a
:class:`Provider`. Files are then read, computed in blocks and written as for scLong: whole or not
at all, resumable, with a record of where the embedding comes from.
"""

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

import sclong_core
from sclong_core.checkpoint_names import VOCABULARY_FILE
from sclong_core.embedding.block_store import BlockStore, partial_folder
from sclong_core.embedding.embed_files import JobOutcome, failed, is_finished
from sclong_core.embedding.inference import refuse_alike
from sclong_core.embedding.jobs import (
    EmbedOptions,
    Job,
    check_key,
    utf8,
    warn_of_space,
    without_none,
)
from sclong_core.embedding.outputs import check_output
from sclong_core.embedding.writing import (
    enough_memory,
    kept_blocks,
    prepare_output,
    write_output,
)
from sclong_core.errors import CheckpointError, ConfigError, ScLongError
from sclong_core.expression import ReadingOptions
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.identity import Identity
from sclong_core.progress import cell_progress

_LOG = logging.getLogger("sclong")
GROUP = "sclong.encoders"


class OfferedCells(Protocol):
    """Cells of a file, checked and matched. A context manager: leaving it closes the file."""

    source: CellSource

    def embed(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Vectors of cells ``start`` to ``stop``, exclusive."""
        ...

    def describe(self) -> dict[str, Any]:
        """What was read: ``genes`` and ``normalisation`` in words, and more; plain values."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...


class OfferedEncoder(Protocol):
    """A model with its weights."""

    @property
    def name(self) -> str:
        """As in settings."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 over its files."""
        ...

    @property
    def width(self) -> int:
        """Numbers of a cell's vector."""
        ...

    def record(self) -> dict[str, Any]:
        """Files, options and sizes: plain values."""
        ...

    def open(self, source: Path, reading: ReadingOptions) -> OfferedCells:
        """The cells of a file.

        Raises:
            InputError: they cannot be used.
        """
        ...


class Provider(Protocol):
    """Models of a package."""

    def names(self) -> Sequence[str]:
        """Of the models."""
        ...

    def make(  # what a user chooses, each by its name
        self,
        name: str,
        folder: Path,
        options: Mapping[str, str],
        *,
        batch_size: int,
        device: str,
        dtype: str,
    ) -> OfferedEncoder:
        """A model from its files.

        Raises:
            ScLongError: the files are not those of this model, or an option is not one of it.
        """
        ...

    def recognise(self, folder: Path) -> str:
        """Name of the model whose files a folder holds, empty if it is none of these."""
        ...

    def describe(self, folder: Path) -> list[tuple[str, str]]:
        """Facts about the model whose files a folder holds; none where it holds none of these."""
        ...


def providers() -> list[Provider]:
    """Of the installed packages.

    Raises:
        ScLongError: one of them cannot be loaded.
    """
    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            found.append(entry.load())
        except (ImportError, AttributeError) as error:
            raise ScLongError(
                f"the encoders of {entry.value} cannot be loaded: {' '.join(str(error).split())}"
            ) from error
    return found


def offered_encoder(
    name: str, folder: str | Path, options: Mapping[str, str], **running: Any
) -> OfferedEncoder:
    """A model of an installed package, by name.

    Args:
        name: of the model.
        folder: that holds its files.
        options: of the model.
        running: ``batch_size``, ``device`` and ``dtype``.

    Raises:
        ConfigError: no installed package offers it.
    """
    known: list[str] = ["sclong"]
    for provider in providers():
        known += provider.names()
        if name in provider.names():
            return provider.make(name, Path(folder), options, **running)
    hint = "" if len(known) > 1 else "; pip install sclong-tasks for published models"
    raise ConfigError(f"there is no encoder {name!r}: choose one of {', '.join(known)}{hint}")


def require_own(folder: Path) -> None:
    """Refuse a folder that holds a model of an installed package in place of an scLong checkpoint.

    Raises:
        CheckpointError: it does; the message names the model.
    """
    if (folder / VOCABULARY_FILE).is_file():
        return
    for provider in providers():
        if name := provider.recognise(folder):
            raise CheckpointError(
                f"{folder} holds the files of {name}, not an scLong checkpoint: add "
                f"--encoder {name} to sclong embed"
            )


def embed_with(
    encoder: OfferedEncoder, jobs: Sequence[Job], options: EmbedOptions
) -> list[JobOutcome]:
    """Embed files one after the other; one that fails does not keep others from being embedded.

    Raises:
        ScLongError, OSError: the only file failed.
    """
    outcomes = []
    for job in jobs:
        try:
            outcomes.append(_embed_file(encoder, job, options))
        except (ScLongError, OSError) as error:
            if len(jobs) == 1:
                raise
            outcomes.append(failed(job, error))
    return outcomes


def _embed_file(encoder: OfferedEncoder, job: Job, options: EmbedOptions) -> JobOutcome:
    identity = Identity.of(job.source)
    reading = options.reading
    own = encoder.record()
    work = {
        "encoder": encoder.name,
        "checkpoint": encoder.digest,
        "encoder_options": str(own.get("options", "")),
        "dtype": str(own.get("dtype", "float32")),
        "input_bytes": identity.bytes,
        "input_sha256": identity.sha256,
        "matrix": reading.get("matrix") or "",
        "gene_column": reading.get("gene_column") or "",
        "normalisation": reading.get("normalisation", "auto"),
    }
    if (types := reading.get("feature_types")) is not None:
        work["feature_types"] = ", ".join(sorted(types))
    if is_finished(job, options, work):
        return JobOutcome(job, "finished before")
    check_output(job, overwrite=options.overwrite, work=work if options.resume else None)
    check_key(job, options.key)
    with encoder.open(job.source, options.reading) as cells:
        count = cells.source.n_cells
        warn_of_space(job, count, encoder.width)
        store = BlockStore.open(
            partial_folder(job.output),
            {**work, "cells": count},
            width=encoder.width,
            batch_size=options.batch_size,
            resume=options.resume,
        )
        try:
            prepare_output(job, cells.source, options, width=encoder.width)
            _compute(cells, identity, store, options)
            if not reading.get("allow_poor_match", False):
                refuse_alike(str(job.source), (values for _, values in store.read()))
            found = without_none(cells.describe())
            write_output(
                job,
                cells.source,
                store,
                options,
                identity=identity,
                columns=[f"{encoder.name}_{number}" for number in range(store.width)],
                record=_record(encoder, found, {**work, "cells": count}),
            )
        finally:
            store.close()
    genes, kind = str(found.get("genes", "")), str(found.get("normalisation", ""))
    return JobOutcome(job, "embedded", count, encoder.width, genes, kind)


def _compute(
    cells: OfferedCells, identity: Identity, store: BlockStore, options: EmbedOptions
) -> None:
    numbers, ranges = store.missing(), store.ranges()
    with cell_progress("embedding", store.count(numbers), shown=options.progress) as advance:
        for number in numbers:
            start, stop = ranges[number]
            with enough_memory(options.batch_size):
                values = cells.embed(start, stop)
            identity.require_same()
            with kept_blocks(store.folder, store.folder):
                store.write(number, values)
            advance(stop - start)


def _record(
    encoder: OfferedEncoder, found: Mapping[str, Any], work: Mapping[str, Any]
) -> dict[str, Any]:
    record = {
        "sclong_version": sclong_core.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["sclong", *sys.argv[1:]]),
        "encoder": {"name": encoder.name, "digest": encoder.digest, **encoder.record()},
        "cells": dict(found),
        "work": dict(work),
    }
    return {name: utf8(value) for name, value in record.items()}
