"""The order of an epoch: a pure function of (cells, settings, seed, epoch).

Cells are read in blocks of neighbours, which are near each other in their shard; blocks are put in
random order, and the cells of a pool of many blocks are shuffled. The numbers of ranks and workers
have no part in it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError

Numbers = npt.NDArray[np.int64]
_BLOCKS, _POOL = 0, 1
"""Streams of random numbers."""


@dataclass(frozen=True)
class ShuffleConfig:
    """How far cells are moved from where they are stored."""

    block_cells: int = 16
    """Neighbours that are read together: fewer shuffle better, more read faster."""
    pool_blocks: int = 128
    """Blocks whose cells are shuffled together: more shuffle better, and take more memory."""

    def __post_init__(self) -> None:
        """Refuse numbers that are not positive."""
        for name in ("block_cells", "pool_blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"shuffle.{name} must be at least 1, not {getattr(self, name)}")


class EpochOrder:
    """Cells in the order of one epoch, to be had pool by pool.

    Args:
        cells: numbers of the cells, in the order in which they are stored; a number may come again.
        shuffle: how to shuffle; None leaves the cells where they are.
        seed: of the order.
        epoch: of the training.
    """

    def __init__(  # settings of a user, each by its name
        self, cells: Numbers, shuffle: ShuffleConfig | None, *, seed: int, epoch: int
    ) -> None:
        settings = shuffle or ShuffleConfig()
        self._cells, self._seeds, self._shuffled = cells, (seed, epoch), shuffle is not None
        self._block = settings.block_cells
        blocks = -(-cells.size // self._block)
        self._blocks = np.arange(blocks)
        if self._shuffled:
            self._blocks = np.argsort(self._random(_BLOCKS).random(blocks))
        sizes = np.full(blocks, self._block)
        sizes[self._blocks == blocks - 1] = cells.size - (blocks - 1) * self._block
        ends = np.concatenate([[0], np.cumsum(sizes)])
        self.starts: Numbers = np.append(ends[:-1][:: settings.pool_blocks], ends[-1])
        self._pool_blocks = settings.pool_blocks

    def __len__(self) -> int:
        """Number of pools."""
        return self.starts.size - 1

    def pool(self, number: int) -> Numbers:
        """The cells from ``starts[number]`` to ``starts[number + 1]`` of the epoch."""
        first = number * self._pool_blocks
        blocks = self._blocks[first : first + self._pool_blocks]
        places = (blocks[:, None] * self._block + np.arange(self._block)).ravel()
        cells: Numbers = self._cells[places[places < self._cells.size]]
        if self._shuffled:
            cells = cells[np.argsort(self._random(_POOL, number).random(cells.size))]
        return cells

    def pool_of(self, position: int) -> int:
        """The pool that holds a position of the epoch."""
        return int(np.searchsorted(self.starts, position, side="right") - 1)

    def _random(self, *stream: int) -> np.random.Generator:
        seeds = np.random.SeedSequence((*self._seeds, *stream))
        return np.random.Generator(np.random.Philox(seeds))
