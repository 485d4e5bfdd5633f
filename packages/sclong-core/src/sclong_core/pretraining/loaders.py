"""Loaders of batches: order as a pure function, equal on all ranks, resumable at any batch.

The order of training cells is a function of (seed, epoch) and of nothing else. A global batch is
the next ``batch_size * ranks`` cells of it, and each rank takes its part, so that the number of
ranks and workers changes who reads a cell but not which cells make a batch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Sampler

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.pretraining.cells import Address, Batch, CellDataset

Cells = npt.NDArray[np.int64]


def epoch_order(cells: Cells, *, seed: int, epoch: int) -> Cells:
    """The cells in the order of an epoch, a pure function of (cells, seed, epoch)."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch))))
    return cells[np.argsort(random.random(cells.size))]


class EpochPosition:
    """Where in an epoch a rank is, for whatever reads its batches.

    Args:
        cells: number of training cells of an epoch.
        batches: of an epoch.
        batch_size: cells of a rank's batch.
        seed: of the order.
        rank: of this process.
        ranks: number of processes.
    """

    def __init__(
        self, cells: int, batches: int, *, batch_size: int, seed: int, rank: int, ranks: int
    ) -> None:
        self.cells_in_epoch, self.batches, self.seed = cells, batches, seed
        self.batch_size, self.rank, self.ranks = batch_size, rank, ranks
        self.epoch = 0
        self.resume_at = 0

    @property
    def global_batch(self) -> int:
        """Cells of a batch over all ranks."""
        return self.batch_size * self.ranks

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch; a place to resume from is for its epoch only."""
        if epoch != self.epoch:
            self.epoch, self.resume_at = epoch, 0

    def start(self) -> int:
        """The batch to begin with; the next epoch begins with its first."""
        first, self.resume_at = self.resume_at, 0
        return first

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self.batches


class EpochBatches(EpochPosition, Sampler[list[Address]]):
    """This rank's batches of one epoch, from a given one on.

    Args:
        cells: numbers of all training cells.
        batch_size: cells of a rank's batch.
        seed: of the order.
        rank: of this process.
        ranks: number of processes.

    Raises:
        ConfigError: there are fewer cells than one global batch.
    """

    def __init__(self, cells: Cells, *, batch_size: int, seed: int, rank: int, ranks: int) -> None:
        batches = cells.size // (batch_size * ranks)
        super().__init__(
            cells.size, batches, batch_size=batch_size, seed=seed, rank=rank, ranks=ranks
        )
        self.cells = cells
        if batches == 0:
            raise ConfigError(
                f"{cells.size:,} training cells do not fill one batch of {batch_size} on each of "
                f"{ranks} ranks: lower data.batch_size or give more cells"
            )

    def __iter__(self) -> Iterator[list[Address]]:
        order = epoch_order(self.cells, seed=self.seed, epoch=self.epoch)
        for batch in range(self.start(), self.batches):
            start = batch * self.global_batch + self.rank * self.batch_size
            yield [(self.epoch, int(cell)) for cell in order[start : start + self.batch_size]]


class ResumableLoader:
    """Training batches of one rank; stateful in Lightning's sense.

    It is not a ``DataLoader`` but holds what reads, because Lightning would put a sampler of its
    own in. The epoch is asked for when the first batch is: when Lightning resumes after the end of
    an epoch, it makes the iterator before it says which epoch is next.

    Args:
        position: in the epoch; reading ``batches`` asks it where to start.
        batches: of the epoch that ``position`` is in.
        identity: what a state must share with this loader, beside the seed and the global batch:
            plain values.
    """

    def __init__(
        self, position: EpochPosition, batches: Iterable[Batch], identity: Mapping[str, Any]
    ) -> None:
        self.sampler = position  # by this name Lightning finds its set_epoch
        self._loader = batches
        self._own = dict(identity)
        self._handed_out = 0

    def __len__(self) -> int:
        """Batches of a whole epoch, wherever the next one starts."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing of this runs before the first batch is asked for.
        self._handed_out = self.sampler.resume_at
        for batch in self._loader:
            self._handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch is, and what it is an epoch of: plain values."""
        return {
            "epoch": self.sampler.epoch,
            "batches": self._handed_out,
            **self._identity(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the batch after those of the state.

        Raises:
            CheckpointError: the state belongs to other cells, another seed or another batch size.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise CheckpointError(
                    f"the checkpoint is in the middle of an epoch over {name} {state.get(name)}, "
                    f"this run has {value}: go on with the same data, seed and batch_size x ranks"
                )
        self.sampler.epoch = int(state["epoch"])
        self.sampler.resume_at = int(state["batches"])

    def _identity(self) -> dict[str, Any]:
        return {
            **self._own,
            "seed": self.sampler.seed,
            "global_batch": self.sampler.global_batch,
        }


class TrainingLoader(ResumableLoader):
    """Training batches of one rank from one file.

    Args:
        dataset: of all cells.
        batches: this rank's.
        workers: processes that read; 0 reads in this one.
        data_digest: of the cells, to refuse a state that belongs to others.
    """

    def __init__(
        self, dataset: CellDataset, batches: EpochBatches, *, workers: int, data_digest: str
    ) -> None:
        super().__init__(batches, _loader(dataset, batches, workers), {"cells": data_digest})


def validation_loader(
    dataset: CellDataset, cells: Cells, *, batch_size: int, rank: int, ranks: int, workers: int
) -> "ValidationLoader":
    """Batches over each validation cell once, as many on every rank.

    A rank that has fewer cells repeats the first one without scoring it: ranks that leave the loop
    at different times would wait for each other for ever.
    """
    share = -(-cells.size // ranks)
    mine = [int(cell) for cell in cells[rank::ranks]]
    filling = [-1 - int(cells[0])] * (share - len(mine))
    addresses: list[Address] = [(0, cell) for cell in mine + filling]
    batches = [addresses[start : start + batch_size] for start in range(0, share, batch_size)]
    return ValidationLoader(dataset, batches, workers=workers)


class ValidationLoader:
    """Batches that are the same in every epoch."""

    def __init__(
        self, dataset: CellDataset, batches: Sequence[list[Address]], *, workers: int
    ) -> None:
        """Read ``batches`` of ``dataset`` with ``workers`` processes."""
        self._loader = _loader(dataset, batches, workers)

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._loader)


def _as_it_is(batch: Any) -> Any:
    return batch


def _loader(dataset: CellDataset, batches: Any, workers: int) -> "DataLoader[Batch]":
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else every epoch would draw from the global one
    )
