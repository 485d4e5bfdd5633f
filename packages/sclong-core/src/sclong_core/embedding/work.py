"""What is computed from what: the settings of an embedding, and its record."""

import os
import shlex
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sclong_core
from sclong_core.cells import ReadingOptions
from sclong_core.embedding.inference import vocabulary_of
from sclong_core.embedding.pooling import Pool, check_pool, chosen_pool, pool_width
from sclong_core.errors import ConfigError
from sclong_core.expression import PreparedCells, prepare_cells
from sclong_core.expression.identity import Identity
from sclong_core.manifest import CheckpointInfo
from sclong_core.model import ScLong

if TYPE_CHECKING:
    from sclong_core.expression.surveys import Progress


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

    The input is known by its content, so that moving or touching it is no change.
    """
    types = options.reading.get("feature_types")
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
        matrix=options.reading.get("matrix"),
        gene_column=options.reading.get("gene_column"),
        normalisation=options.reading.get("normalisation", "auto"),
        duplicates=options.reading.get("duplicates", "error"),
        feature_types=options.reading.get("feature_types"),
        allow_other_species=options.reading.get("allow_other_species", False),
        allow_poor_match=options.reading.get("allow_poor_match", False),
        progress=progress,
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
