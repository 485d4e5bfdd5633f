"""Loaders over a corpus: workers read pools, and batches are cut from them in the main process."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numcodecs.blosc
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sclong_core.errors import ScLongError
from sclong_core.pretraining.batches import Batch, EpochPosition, ResumableLoader
from sclong_data.loading.cells import MaskedCells, dense_batch, ragged_batch
from sclong_data.loading.pools import PoolDataset, PoolTask

Read: TypeAlias = tuple[Tensor, ...] | ScLongError
_PREFETCHED = 2
"""Pools that a worker reads ahead."""
_COLUMNS = {False: dense_batch, True: ragged_batch}


class CorpusLoader(ResumableLoader):
    """Training batches of one rank, resumable at any batch with any number of workers.

    The last batch of an epoch is filled up with cells that are not scored, so that every cell
    comes and every rank has as many batches.

    Args:
        dataset: this rank's pools.
        workers: processes that read; 0 reads in this one.
        seed: of the order.
        identity: what a state must share with this loader: plain values.
        ragged: batches of expressed genes only.
    """

    def __init__(  # settings of a user, each by its name
        self,
        dataset: PoolDataset,
        *,
        workers: int,
        seed: int,
        identity: Mapping[str, Any],
        ragged: bool = False,
    ) -> None:
        share, cells = dataset.share, len(dataset.cells)
        position = EpochPosition(
            cells,
            share.batches(cells),
            batch_size=share.batch_size,
            seed=seed,
            rank=share.rank,
            ranks=share.ranks,
        )
        batches = _Batches(
            dataset, lambda: (position.epoch, position.start()), workers, ragged=ragged
        )
        super().__init__(position, batches, identity)


class CorpusValidationLoader:
    """Batches over each held-out cell once, the same in every epoch and as many on every rank.

    Args:
        dataset: this rank's pools, not shuffled.
        workers: processes that read; 0 reads in this one.
        ragged: batches of expressed genes only.
    """

    def __init__(self, dataset: PoolDataset, *, workers: int, ragged: bool = False) -> None:
        self._count = dataset.share.batches(len(dataset.cells))
        self._batches = _Batches(dataset, lambda: (0, 0), workers, ragged=ragged)

    def __len__(self) -> int:
        """Number of batches."""
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)


class _Tasks(Sampler[PoolTask]):
    """The pools to read, requested again in each epoch."""

    def __init__(self, dataset: PoolDataset, where: Callable[[], tuple[int, int]]) -> None:
        self._dataset, self._where = dataset, where

    def __iter__(self) -> Iterator[PoolTask]:
        # A generator: a DataLoader makes iterators that it does not use, and those must not ask.
        epoch, first = self._where()
        yield from self._dataset.tasks(epoch, first)


class _Batches:
    """Pools cut into batches."""

    def __init__(  # settings of a user, each by its name
        self,
        dataset: PoolDataset,
        where: Callable[[], tuple[int, int]],
        workers: int,
        *,
        ragged: bool,
    ) -> None:
        self._batch_size = dataset.share.batch_size
        self._genes = len(dataset.corpus.vocabulary)
        self._make = _COLUMNS[ragged]
        self._pin = torch.cuda.is_available()
        self._pools: DataLoader[Read] = DataLoader(
            _Reporting(dataset),
            batch_size=None,
            sampler=_Tasks(dataset, where),
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_start_worker if workers else None,
            persistent_workers=workers > 0,
            prefetch_factor=_PREFETCHED if workers else None,
            generator=torch.Generator(),  # else every epoch would draw from the global one
        )

    def __iter__(self) -> Iterator[Batch]:
        waiting: list[MaskedCells] = []
        count = 0
        for read in self._pools:
            if isinstance(read, ScLongError):
                raise read
            pool = MaskedCells.from_tensors(read)
            done = 0
            while count + len(pool) - done >= self._batch_size:
                stop = done + self._batch_size - count
                cells = MaskedCells.joined([*waiting, pool[done:stop]])
                waiting, count, done = [], 0, stop
                batch = self._make(cells, self._genes)
                yield {n: t.pin_memory() for n, t in batch.items()} if self._pin else batch
            if done < len(pool):
                waiting.append(pool[done : len(pool)])
                count += len(pool) - done


class _Reporting(Dataset[Read]):
    """Hands out what is wrong in place of a pool: PyTorch would wrap it in a worker's traceback."""

    def __init__(self, dataset: PoolDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, task: PoolTask) -> Read:
        try:
            return self._dataset[task]
        except ScLongError as error:
            return error


def _as_it_is(read: Any) -> Any:
    return read


def _start_worker(number: int) -> None:  # noqa: ARG001  # PyTorch gives it
    """One thread a worker: there are as many workers as are wanted."""
    torch.set_num_threads(1)
    numcodecs.blosc.set_nthreads(1)
