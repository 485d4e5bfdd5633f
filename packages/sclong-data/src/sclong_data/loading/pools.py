"""Pools of cells as workers read them: each once a rank, with masks drawn."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Dataset

from sclong_core.pretraining.masking import MaskingConfig, choose_of_cells
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.loading.cells import MASKED, SCORED, MaskedCells, small_genes
from sclong_data.loading.order import EpochOrder, ShuffleConfig
from sclong_data.loading.weights import EpochCells


@dataclass(frozen=True)
class PoolTask:
    """What a worker is asked for."""

    epoch: int
    """Of the training."""
    pool: int
    """Number of the pool in the epoch."""
    start: int
    """Position in the epoch before which all cells were handed out."""


@dataclass(frozen=True)
class Share:
    """Which cells of an epoch a rank takes: its part of each global batch."""

    batch_size: int
    """Cells of a rank's batch."""
    rank: int
    """Of this process."""
    ranks: int
    """Number of processes."""

    def batches(self, cells: int) -> int:
        """Batches of an epoch; the last one is filled up."""
        return -(-cells // (self.batch_size * self.ranks))

    def of(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which positions of an epoch are this rank's."""
        mine: npt.NDArray[np.bool_] = (positions // self.batch_size) % self.ranks == self.rank
        return mine


class PoolDataset(Dataset[tuple[Tensor, ...]]):
    """This rank's cells of the pools of an epoch, as :class:`MaskedCells` in tensors.

    Args:
        corpus: with the cells.
        cells: of each epoch.
        shuffle: how they are shuffled; None for not at all.
        masking: how masks are drawn; None for none.
        share: of this rank.
        seed: of the order.
        validation: draw the masks of validation, the same in every epoch.
    """

    def __init__(  # settings of a user, each by its name
        self,
        corpus: CellCorpus,
        cells: EpochCells,
        shuffle: ShuffleConfig | None,
        masking: MaskingConfig | None,
        share: Share,
        *,
        seed: int,
        validation: bool = False,
    ) -> None:
        self.corpus, self.cells, self.shuffle, self.share = corpus, cells, shuffle, share
        self._masking = masking.for_validation() if masking and validation else masking
        self._seed, self._validation = seed, validation
        self._order: tuple[int, EpochOrder] | None = None

    def order(self, epoch: int) -> EpochOrder:
        """The order of an epoch; that of the last one asked for is kept."""
        if self._order is None or self._order[0] != epoch:
            cells = self.cells.of(epoch)
            self._order = (epoch, EpochOrder(cells, self.shuffle, seed=self._seed, epoch=epoch))
        return self._order[1]

    def tasks(self, epoch: int, first_batch: int) -> list[PoolTask]:
        """What to ask for, in order, to get the batches of an epoch from a given one on."""
        order = self.order(epoch)
        start = first_batch * self.share.batch_size * self.share.ranks
        if start >= order.starts[-1]:
            return []
        return [PoolTask(epoch, pool, start) for pool in range(order.pool_of(start), len(order))]

    def __getitem__(self, task: PoolTask) -> tuple[Tensor, ...]:
        """This rank's cells of a pool, in the order of the epoch."""
        order = self.order(task.epoch)
        first = int(order.starts[task.pool])
        numbers = order.pool(task.pool)
        fillers = self._fillers(order) if task.pool == len(order) - 1 else 0
        # What fills the last batch is read like a cell, but it is not scored.
        cells = np.concatenate([numbers, np.full(fillers, -1)])
        numbers = np.concatenate([numbers, np.repeat(numbers[:1], fillers)])
        positions = np.arange(first, first + cells.size)
        mine = self.share.of(positions) & (positions >= task.start)
        return self._masked(task.epoch, numbers[mine], cells[mine]).to_tensors()

    def _fillers(self, order: EpochOrder) -> int:
        cells = int(order.starts[-1])
        return self.share.batches(cells) * self.share.batch_size * self.share.ranks - cells

    def _masked(
        self, epoch: int, numbers: npt.NDArray[np.int64], cells: npt.NDArray[np.int64]
    ) -> MaskedCells:
        expression = self.corpus.read(numbers)
        pointers = expression.indptr.astype(np.int64)
        flags = np.zeros(expression.nnz, dtype=np.uint8)
        if self._masking is not None:
            choices = choose_of_cells(
                np.diff(pointers).tolist(),
                config=self._masking,
                epoch=0 if self._validation else epoch,
                cells=self.corpus.keys[numbers],
                validation=self._validation,
            )
            for row, (chosen, hidden) in enumerate(choices):
                values = flags[int(pointers[row]) : int(pointers[row + 1])]
                values[chosen] = SCORED if cells[row] >= 0 else 0
                values[chosen[:hidden]] |= MASKED
        genes = small_genes(expression.indices, expression.shape[1])
        return MaskedCells(cells, pointers, expression.data, genes, flags)
