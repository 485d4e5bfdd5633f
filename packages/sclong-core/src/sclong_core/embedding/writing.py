"""Writing an output from its blocks: nothing that is there is lost, nor any finished block."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sclong_core.embedding.annotated import rehearse, write_annotated
from sclong_core.embedding.block_store import BlockStore
from sclong_core.embedding.jobs import ANNOTATED, EmbedOptions, Job
from sclong_core.embedding.outputs import check_output
from sclong_core.embedding.tables import write_table
from sclong_core.errors import InputError, ScLongError, is_short_of_memory
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.identity import Identity
from sclong_core.files import TakenError, leftovers

_LOG = logging.getLogger("sclong")


def prepare_output(job: Job, source: CellSource, options: EmbedOptions, *, width: int) -> None:
    """Remove what a killed run left half-written, and find what could never be written.

    The lock of the blocks must be held: it says that none is writing now.

    Raises:
        InputError: the output's format cannot hold what belongs into it.
        OSError: its folder is not writable.
    """
    for path in leftovers(job.output):
        _LOG.info("%s: removed, because a killed run left it incomplete", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if job.output.suffix in ANNOTATED:
        rehearse(job, source, key=options.key, width=width)


def write_output(
    job: Job,
    source: CellSource,
    store: BlockStore,
    options: EmbedOptions,
    *,
    identity: Identity,
    columns: Sequence[str],
    record: Mapping[str, Any],
) -> None:
    """Write the output of a job, whole or not at all, and remove its blocks.

    Args:
        job: whose output it is.
        source: the open input.
        store: all blocks.
        options: of the user.
        identity: what the input holds.
        columns: names of the columns of the embedding.
        record: where the embedding comes from, with the work that is resumed under "work".

    Raises:
        InputError: a block is missing, the input is another by now, or something has come to the
            place of the output.
        OSError: the disk is full, or not writable.
    """
    with kept_blocks(job.output, store.folder):
        replaced = _replaced(job, store, options, record["work"])
        identity.require_same()
        if job.output.suffix in ANNOTATED:
            write_annotated(
                job,
                source,
                store,
                identity=identity,
                key=options.key,
                record=record,
                overwrite=options.overwrite,
            )
        else:
            write_table(
                job.output,
                store,
                names=[str(name) for name in source.obs.index],
                columns=columns,
                record=record,
                overwrite=options.overwrite,
                replaced=replaced,
            )
    store.remove()


def _replaced(
    job: Job, store: BlockStore, options: EmbedOptions, work: Mapping[str, Any]
) -> frozenset[Path]:
    """Files beside the output that are replaced; refuses what has come since the beginning."""
    asked = {name: value for name, value in work.items() if name != "cells"}
    try:
        return check_output(
            job, overwrite=options.overwrite, work=asked if options.resume else None
        )
    except InputError as error:
        raise InputError(
            f"{error}; or move it away and continue with --resume: finished blocks stay "
            f"in {store.folder}"
        ) from error


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Say that memory is short, of a GPU or of the machine.

    Raises:
        ScLongError: it is.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_short_of_memory(error):
            raise
        raise ScLongError(
            f"there is not enough memory for {batch_size} cells at a time: choose a smaller "
            "--batch-size"
        ) from error


@contextmanager
def kept_blocks(output: Path, folder: Path) -> Iterator[None]:
    """Add to what went wrong in writing that finished blocks are not lost.

    Raises:
        InputError: something is under the name by now.
        OSError: the disk is full, or not writable.
    """
    try:
        yield
    except TakenError as error:
        raise InputError(
            f"{output} was not written: {error.path} was created in the meantime and is "
            "not replaced; move it away and continue with --resume: finished blocks "
            f"stay in {folder}"
        ) from error
    except (OSError, RuntimeError) as error:  # h5py raises either for a full disk
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise OSError(
            f"{output} cannot be written ({reason[:200]}): finished blocks stay in "
            f"{folder}; continue with --resume"
        ) from error
