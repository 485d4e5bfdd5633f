"""Sampling that gives rare cells their share: how often each cell comes in an epoch."""

import numpy as np
import numpy.typing as npt
import pandas as pd

Numbers = npt.NDArray[np.int64]


class EpochCells:
    """The cells of each epoch: all of them once, or drawn by weights.

    Drawn cells number as many as there are; a cell of weight ``w`` comes ``w`` times on average,
    and never more often than ``w`` rounded up. Which ones come is a function of (seed, epoch).

    Args:
        cells: numbers of the cells, ascending.
        weights: of each; None to give each cell once.
        seed: of the draw.
    """

    def __init__(  # settings of a user, each by its name
        self, cells: Numbers, weights: npt.NDArray[np.float64] | None = None, *, seed: int = 0
    ) -> None:
        self.cells, self._seed = cells, seed
        self._weights = None if weights is None else weights * (cells.size / weights.sum())

    def __len__(self) -> int:
        """Cells of an epoch."""
        return self.cells.size

    def of(self, epoch: int) -> Numbers:
        """Cells of an epoch, as they are stored; those that come again stand behind all others."""
        if self._weights is None:
            return self.cells
        times = self._times(epoch)
        rounds = [self.cells[times > before] for before in range(int(times.max(initial=0)))]
        return np.concatenate([self.cells[:0], *rounds])

    def _times(self, epoch: int) -> Numbers:
        """Systematic sampling along a random order: sums of counts follow sums of weights."""
        assert self._weights is not None
        seeds = np.random.SeedSequence((self._seed, epoch))
        random = np.random.Generator(np.random.Philox(seeds))
        order = np.argsort(random.random(self.cells.size))
        sums = np.cumsum(self._weights[order])
        sums[-1:] = self.cells.size  # what rounding took away would cost a cell
        times = np.empty(self.cells.size, dtype=np.int64)
        times[order] = np.diff(np.floor(sums + random.random()), prepend=0)
        return times


def stratified_weights(labels: pd.Series, power: float = 1.0) -> npt.NDArray[np.float64]:
    """Weights that even out the groups of a column.

    Args:
        labels: the group of each cell; cells without one are a group of their own.
        power: 1 gives all groups the same share; 0 leaves the shares as they are; 0.5 is between.
    """
    codes, _ = pd.factorize(labels, use_na_sentinel=False)
    counts = np.bincount(codes)
    weights: npt.NDArray[np.float64] = (counts.astype(np.float64) ** -power)[codes]
    return weights
