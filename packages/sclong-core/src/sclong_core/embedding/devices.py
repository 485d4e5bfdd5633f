"""Embedding on several devices: one process each, started by Lightning, srun or torchrun.

Every process embeds its own blocks into the folder that all of them share. The first process
(rank 0) checks the cells, tells the others what it found, and writes the output.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import NamedTuple

import lightning.pytorch as pl
import torch.distributed
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import subprocess_script
from torch import Tensor
from torch.utils.data import DataLoader

from sclong_core.embedding.block_store import BlockStore, partial_folder
from sclong_core.embedding.embed_files import (
    Embedder,
    JobOutcome,
    OpenJob,
    compute_block,
    failed,
    is_finished,
)
from sclong_core.embedding.inference import Advance
from sclong_core.embedding.jobs import Job, describe_work
from sclong_core.embedding.ranks import RankWatch
from sclong_core.errors import ConfigError, ScLongError
from sclong_core.expression import GeneMatch, PreparedCells, Survey, open_cells
from sclong_core.expression.identity import Identity
from sclong_core.launcher import launched
from sclong_core.progress import cell_progress
from sclong_core.quiet import quiet_lightning

_PATIENCE = timedelta(days=7)
"""How long ranks wait for each other: rank 0 may be copying a large file."""


def embed_files_on_devices(
    embedder: Embedder, jobs: Sequence[Job], *, device: str, devices: int
) -> list[JobOutcome]:
    """:func:`.run.embed_files` on several devices of this machine or of a SLURM job.

    Every rank calls it with the same arguments; the outcomes are those of rank 0, the others get
    none.

    Args:
        embedder: its model is moved to the device of each rank.
        jobs: the same on all ranks.
        device: "auto", "cpu", "cuda" or another kind of accelerator, without a number.
        devices: processes on each machine.

    Raises:
        ConfigError: there are not so many devices.
        ScLongError, OSError: the only file failed, or one of the processes has ended.
        KeyboardInterrupt: interrupted; finished blocks stay.
    """
    outcomes: list[JobOutcome] = []
    watch = RankWatch(subprocess_script)
    with quiet_lightning(), watch.watching():
        trainer = _trainer(device, devices)
        for job in jobs:
            runner = _JobRunner(embedder, job)
            _predict(trainer, runner)
            errors = runner.gather_errors()
            if job is jobs[-1]:
                watch.close()
            if not trainer.is_global_zero:
                continue
            try:
                outcomes.append(runner.outcome(errors))
            except (ScLongError, OSError) as error:
                if len(jobs) == 1:
                    raise
                outcomes.append(failed(job, error))
    return outcomes


class _Found(NamedTuple):
    """What rank 0 tells the others."""

    match: GeneMatch
    survey: Survey
    identity: Identity
    width: int
    missing: list[int]


class _JobRunner(pl.LightningModule):
    """One job: every rank takes its share of the missing blocks.

    Errors are kept until all ranks are done: one that stopped would let the others wait for it.
    """

    def __init__(self, embedder: Embedder, job: Job) -> None:
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.model = embedder.model  # registered, for Lightning to move it
        self._embedder = embedder
        self._job = job
        self._opened: OpenJob | None = None
        self._done: JobOutcome | None = None
        self._error: Exception | None = None
        self._cells: PreparedCells | None = None
        self._identity: Identity | None = None
        self._store: BlockStore | None = None
        self._share: list[int] = []
        self._resources = ExitStack()
        self._advance: Advance = lambda _cells: None
        self._root_device = "cpu"

    def setup(self, stage: str) -> None:  # Lightning gives it
        """Rank 0 opens the job; the others open the same cells without checking them again."""
        del stage
        self._root_device = str(self.trainer.strategy.root_device)
        found = self._open() if self.trainer.is_global_zero else None
        found = self.trainer.strategy.broadcast(found)
        if found is None:
            return
        self._share = found.missing[self.trainer.global_rank :: self.trainer.world_size]
        if self._opened is None:
            self._join(found)
        if self._store is not None and self.trainer.is_global_zero:
            total = self._store.count(self._share)
            shown = self._embedder.options.progress
            bar = cell_progress(f"embedding on 1 of {self.trainer.world_size}", total, shown=shown)
            self._advance = self._resources.enter_context(bar)

    def _open(self) -> _Found | None:
        """Open the job; None if there is nothing to compute."""
        embedder, job = self._embedder, self._job
        try:
            identity = Identity.of(job.source)
            work = describe_work(embedder.info, embedder.model, identity, embedder.options)
            if is_finished(job, embedder.options, work):
                self._done = JobOutcome(job, "finished before")
                return None
            opened = OpenJob.open(embedder, job, identity, work)
        except (ScLongError, OSError) as error:
            self._error = error
            return None
        self._opened = self._resources.enter_context(opened)
        self._cells, self._identity, self._store = opened.cells, identity, opened.store
        cells = opened.cells
        return _Found(
            cells.match, cells.survey, identity, opened.store.width, opened.store.missing()
        )

    def _join(self, found: _Found) -> None:
        """Open the cells as rank 0 found them."""
        try:
            source = open_cells(
                self._job.source, matrix=self._embedder.options.reading.get("matrix")
            )
            config = self._embedder.model.config.input
            cells = PreparedCells(source, found.match, found.survey, config)
            self._cells = self._resources.enter_context(cells)
            self._identity = found.identity
            self._identity.require_same()
            folder = partial_folder(self._job.output)
            self._store = BlockStore.join(folder, cells=len(cells), width=found.width)
        except (ScLongError, OSError) as error:
            self._error = error

    def predict_dataloader(self) -> DataLoader[int]:
        """Numbers of the missing blocks that are this rank's; there may be none."""
        return DataLoader(self._share, batch_size=1)  # type: ignore[arg-type]  # a list is a dataset

    def predict_step(self, numbers: Tensor) -> None:
        """Compute and keep one block."""
        if self._error is not None or self._store is None:
            return
        assert self._cells is not None
        assert self._identity is not None
        try:
            for number in numbers.tolist():
                compute_block(
                    self._embedder,
                    self._cells,
                    self._identity,
                    self._store,
                    number,
                    advance=self._advance,
                )
        except (ScLongError, OSError) as error:
            self._error = error

    def gather_errors(self) -> list[str]:
        """What went wrong on any rank: waits for all of them."""
        text = None if self._error is None else " ".join(str(self._error).split())
        gathered: list[str | None] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(gathered, text)
        return [text for text in gathered if text is not None]

    def outcome(self, errors: list[str]) -> JobOutcome:
        """Write the output, on rank 0."""
        with self._resources:
            if self._error is not None:
                raise self._error
            if errors:
                raise ScLongError(errors[0])
            if self._opened is not None:
                self._done = self._opened.finish(self._root_device)
            assert self._done is not None
            return self._done


def _predict(trainer: pl.Trainer, runner: _JobRunner) -> None:
    """Run a job on this rank; on the first call Lightning starts the other ranks."""
    try:
        trainer.predict(runner, return_predictions=False)
    except SystemExit as error:  # Lightning's answer to an interrupt
        raise KeyboardInterrupt from error


def _trainer(device: str, devices: int) -> pl.Trainer:
    if ":" in device:
        raise ConfigError(f"several devices cannot all be {device}: leave out its number")
    try:
        return pl.Trainer(
            accelerator=device,
            devices=devices,
            num_nodes=_machines(),
            strategy=DDPStrategy(timeout=_PATIENCE),
            # Lightning's own way to deal out fails where there are fewer blocks than ranks.
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, LookupError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{devices} devices of kind {device} cannot be used: {reason}") from error


def _machines() -> int:
    """Machines of this run, as srun or torchrun say."""
    found = launched()
    return 1 if found is None else found.nodes
