"""Embedding files on one device: opened and checked, computed in blocks, written whole."""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from sclong_core.embedding.annotated import read_record
from sclong_core.embedding.block_store import (
    BlockStore,
    differences,
    partial_folder,
    remove_leftover,
)
from sclong_core.embedding.inference import Advance, embed_cells, refuse_alike
from sclong_core.embedding.jobs import (
    ANNOTATED,
    EmbedOptions,
    Job,
    check_key,
    column_names,
    describe_run,
    describe_work,
    open_prepared,
    warn_of_space,
    width_of,
)
from sclong_core.embedding.outputs import check_output
from sclong_core.embedding.pooling import chosen_pool
from sclong_core.embedding.tables import read_table_record
from sclong_core.embedding.writing import (
    enough_memory,
    kept_blocks,
    prepare_output,
    write_output,
)
from sclong_core.errors import InputError, ScLongError
from sclong_core.expression import PreparedCells
from sclong_core.expression.identity import Identity
from sclong_core.manifest import CheckpointInfo
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress

_LOG = logging.getLogger("sclong")


@dataclass(frozen=True)
class JobOutcome:
    """What became of a job."""

    job: Job
    status: Literal["embedded", "finished before", "failed"]
    cells: int = 0
    width: int = 0
    genes: str = ""
    """How the genes fitted."""
    normalisation: str = ""
    """What the values were."""
    error: str = ""
    """Why it failed, one line."""


@dataclass(frozen=True)
class Embedder:
    """A model and what is asked of it; the same for all files."""

    model: ScLong
    info: CheckpointInfo
    options: EmbedOptions


def embed_files(embedder: Embedder, jobs: Sequence[Job]) -> list[JobOutcome]:
    """Embed files one after the other. A file that fails does not keep others from being embedded.

    Raises:
        ScLongError, OSError: the only file failed.
    """
    outcomes = []
    for job in jobs:
        try:
            outcomes.append(_embed_file(embedder, job))
        except (ScLongError, OSError) as error:
            if len(jobs) == 1:
                raise
            outcomes.append(failed(job, error))
    return outcomes


def failed(job: Job, error: BaseException) -> JobOutcome:
    """The outcome of a job that raised an error, which is logged."""
    words = " ".join(str(error).split()) or type(error).__name__
    _LOG.error("%s: not embedded: %s", job.source, words)
    return JobOutcome(job, "failed", error=words)


def _embed_file(embedder: Embedder, job: Job) -> JobOutcome:
    identity = Identity.of(job.source)
    work = describe_work(embedder.info, embedder.model, identity, embedder.options)
    if is_finished(job, embedder.options, work):
        return JobOutcome(job, "finished before")
    with OpenJob.open(embedder, job, identity, work) as opened:
        compute_blocks(embedder, opened.cells, identity, opened.store, opened.store.missing())
        return opened.finish(str(embedder.model.device))


def is_finished(job: Job, options: EmbedOptions, work: dict[str, Any]) -> bool:
    """Whether the output of this very work is there already, when asked to resume.

    Raises:
        InputError: an output of other work is there, and is not to be overwritten.
    """
    if not options.resume or not os.path.lexists(job.output):
        return False
    if job.output.suffix in ANNOTATED:
        record = read_record(job.output, options.key)
    else:
        record = read_table_record(job.output)
    noted = (record or {}).get("work")
    found = {
        key: value.tolist() if hasattr(value, "tolist") else value
        for key, value in (noted if isinstance(noted, dict) else {}).items()
        if key != "cells"
    }
    if found == work:
        remove_leftover(partial_folder(job.output))
        _LOG.info("%s: finished before", job.output)
        return True
    if not options.overwrite:
        differing = differences(found, work) if found else "scLong did not write it"
        raise InputError(
            f"{job.output} already exists and belongs to another run ({differing}): "
            "choose another name, or replace it with --overwrite"
        )
    return False


@dataclass(frozen=True)
class OpenJob:
    """A job whose cells are checked and whose blocks have a place. A context manager."""

    embedder: Embedder
    job: Job
    identity: Identity
    work: dict[str, Any]
    cells: PreparedCells
    store: BlockStore

    @classmethod
    def open(cls, embedder: Embedder, job: Job, identity: Identity, work: dict[str, Any]) -> Self:
        """Check the output, read and check all cells, and find or begin the blocks.

        Raises:
            InputError: the cells cannot be used, or the output or its blocks are in the way.
            OSError: the output cannot be written.
        """
        options = embedder.options
        check_output(job, overwrite=options.overwrite, work=work if options.resume else None)
        check_key(job, options.key)
        cells = survey_file(embedder.model, job.source, options)
        try:
            width = width_of(embedder.model, options.pool)
            warn_of_space(job, len(cells), width)
            work = {**work, "cells": len(cells)}
            store = BlockStore.open(
                partial_folder(job.output),
                work,
                width=width,
                batch_size=options.batch_size,
                resume=options.resume,
            )
        except BaseException:
            cells.close()
            raise
        opened = cls(embedder, job, identity, work, cells, store)
        try:
            prepare_output(job, cells.source, options, width=width)
        except BaseException:
            opened.__exit__()
            raise
        return opened

    def finish(self, device: str) -> JobOutcome:
        """Write the output from the blocks and remove them.

        Raises:
            InputError: a block is missing, or all embeddings are alike.
            OSError: the disk is full, or not writable.
        """
        options, model = self.embedder.options, self.embedder.model
        record = describe_run(
            self.embedder.info, self.cells, options, work=self.work, device=device
        )
        columns = column_names(model, options.pool)
        if options.pool == "gene_sums":
            record["columns"] = columns
        if not options.reading.get("allow_poor_match", False):
            refuse_alike(str(self.job.source), (values for _, values in self.store.read()))
        write_output(
            self.job,
            self.cells.source,
            self.store,
            options,
            identity=self.identity,
            columns=columns,
            record=record,
        )
        found = self.cells.survey
        share = f"{found.share_of_counts_matched:.1%} of counts"
        genes = f"{found.matched:,} of {found.genes:,} ({share})"
        return JobOutcome(
            self.job, "embedded", len(self.cells), self.store.width, genes, found.normalisation
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.cells.close()
        self.store.close()


def compute_blocks(
    embedder: Embedder,
    cells: PreparedCells,
    identity: Identity,
    store: BlockStore,
    numbers: Sequence[int],
) -> None:
    """Compute and keep blocks.

    Raises:
        ScLongError: an embedding is not finite, or a batch does not fit into memory.
        OSError: the disk is full, or not writable.
    """
    total = store.count(numbers)
    with cell_progress("embedding", total, shown=embedder.options.progress) as advance:
        for number in numbers:
            compute_block(embedder, cells, identity, store, number, advance=advance)


def compute_block(  # what is computed, from what, and where it goes
    embedder: Embedder,
    cells: PreparedCells,
    identity: Identity,
    store: BlockStore,
    number: int,
    *,
    advance: Advance = lambda _cells: None,
) -> None:
    """Compute and keep one block; see :func:`compute_blocks`.

    It is kept only if the input is still what it was when the work began.
    """
    options = embedder.options
    start, stop = store.ranges()[number]
    with enough_memory(options.batch_size):
        values = embed_cells(
            embedder.model,
            cells,
            pool=chosen_pool(embedder.model, options.pool),
            batch_size=options.batch_size,
            start=start,
            stop=stop,
            advance=advance,
        )
    identity.require_same()
    with kept_blocks(store.folder, store.folder):
        store.write(number, values)


def survey_file(model: ScLong, source: Path, options: EmbedOptions) -> PreparedCells:
    """The cells of a file, with a progress bar over the pass that checks them.

    Raises:
        InputError: they cannot be used.
    """
    with ExitStack() as stack:
        advance: Advance | None = None
        done = 0

        def progress(now: int, total: int) -> None:
            nonlocal advance, done
            if advance is None:
                bar = cell_progress("checking cells", total, shown=options.progress)
                advance = stack.enter_context(bar)
            advance(now - done)
            done = now

        return open_prepared(model, source, options, progress)
