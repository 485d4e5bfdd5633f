"""Going on from one checkpoint on all ranks: the first one chooses, and the others take its word.

Ranks that chose by themselves could differ, where a network file system shows files late or one of
them reads a damaged block, and would train on from different steps.
"""

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.trainer.connectors.checkpoint_connector import _CheckpointConnector
from lightning.pytorch.trainer.states import TrainerFn
from torch import distributed as dist

from sclong_core.errors import CheckpointError
from sclong_core.pretraining.checkpoint_io import newest_valid_checkpoint

_LOG = logging.getLogger("sclong")
NEWEST = "newest"
"""Beside Lightning's own ``best`` and ``last``: the newest checkpoint of the run that is whole."""


class SameCheckpoint(_CheckpointConnector):
    """Loads for a Trainer, where its ranks can talk already, which they cannot before ``fit``.

    Args:
        trainer: to load for.
        folder: of the checkpoints of its run.
    """

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        super().__init__(trainer)
        self.folder = folder
        self.begun: int | None = None
        """Steps of the checkpoint that was loaded; None where there was none."""

    def resume_start(
        self, checkpoint_path: Any | None = None, *arguments: Any, **options: Any
    ) -> None:
        """Choose if asked to, and load; all ranks call it together.

        Raises:
            CheckpointError: some rank could not load; raised on all of them.
        """
        if checkpoint_path == NEWEST:
            checkpoint_path = self._newest()
        if checkpoint_path is not None and self.trainer.is_global_zero:
            _LOG.info("going on from %s", checkpoint_path)
        problem = None
        try:
            super().resume_start(checkpoint_path, *arguments, **options)
        except CheckpointError as error:
            problem = error
        _agree(problem)
        self.begun = self._loaded_checkpoint.get("global_step")

    def _newest(self) -> Path | None:
        """What the first rank finds; the others do not look."""
        found = newest_valid_checkpoint(self.folder) if self.trainer.is_global_zero else None
        chosen: Path | None = self.trainer.strategy.broadcast(found)
        if chosen is None and self.trainer.state.fn != TrainerFn.FITTING:
            raise CheckpointError(
                f"{self.folder} holds no checkpoint: give --ckpt_path, or "
                "--trainer.default_root_dir of a run"
            )
        return chosen


def _agree(problem: CheckpointError | None) -> None:
    """Raise on all ranks what any of them met, so that none waits for one that has ended."""
    said: list[str | None] = [None if problem is None else str(problem)]
    if dist.is_available() and dist.is_initialized():
        said *= dist.get_world_size()
        dist.all_gather_object(said, said[0])
    if len(set(said)) == 1:
        if problem is not None:
            raise problem
        return
    met = [f"rank {rank}: {what}" for rank, what in enumerate(said) if what is not None]
    raise CheckpointError("; ".join(met)) from problem
