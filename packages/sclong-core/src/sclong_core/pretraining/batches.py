"""Batches of masked cells: order as a pure function, equal on all ranks, resumable at any batch.

The order of training cells is a function of (seed, epoch) and of nothing else. A global batch is
the next ``batch_size * ranks`` cells of it, and each rank takes its part, so that the number of
ranks and workers changes who reads a cell but not which cells make a batch.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.expression import CellSource, PreparedCells, open_cells
from sclong_core.pretraining.masking import MaskingConfig, choose_of_cells

Batch: TypeAlias = dict[str, Tensor]
"""``expression`` (cells, genes) float32, ``masked`` and ``scored`` boolean of the same shape, and
``cell`` (cells,) int64: the cell's number in its file, -1 for one that only fills the batch."""
Address: TypeAlias = tuple[int, int]
"""Epoch and number of a cell; the number is negative (``-1 - number``) for one that fills up."""

_HASH_RANGE = float(1 << 64)


class CellDataset(Dataset[Batch]):
    """Batches of masked cells; a worker process opens the file for itself.

    HDF5 files must not be shared by processes, so the open file stays in the process that opened
    it and never travels.

    Args:
        path: the file.
        cells: what is known of its cells; their own file may be closed.
        matrix: the one they were prepared from.
        masking: how masks are drawn.
        validation: draw the masks of validation, the same in every epoch.
    """

    def __init__(  # settings of a user, each by its name
        self,
        path: str,
        cells: PreparedCells,
        matrix: str | None,
        masking: MaskingConfig,
        *,
        validation: bool = False,
    ) -> None:
        self._path = path
        self._matrix = matrix
        self._match, self._survey, self._input = cells.match, cells.survey, cells.input_config
        self._masking = masking.for_validation() if validation else masking
        self._validation = validation
        self._count = len(cells)
        self._opened: tuple[int, PreparedCells] | None = None

    def __len__(self) -> int:
        """Number of cells in the file."""
        return self._count

    def __getstate__(self) -> dict[str, object]:
        """Everything but the open file."""
        return {**self.__dict__, "_opened": None}

    def __getitem__(self, address: Address) -> Batch:
        """A batch of one cell."""
        return self.__getitems__([address])

    def __getitems__(self, addresses: Sequence[Address]) -> Batch:
        """A batch of cells, each with the masks of its epoch."""
        numbers = [number if number >= 0 else -1 - number for _, number in addresses]
        expression = self.expression(numbers)
        masked = np.zeros(expression.shape, dtype=np.bool_)
        scored = np.zeros(expression.shape, dtype=np.bool_)
        for epoch in {epoch for epoch, _ in addresses}:
            rows = [row for row, (of, _) in enumerate(addresses) if of == epoch]
            expressed = [np.flatnonzero(expression[row]) for row in rows]
            choices = choose_of_cells(
                [values.size for values in expressed],
                config=self._masking,
                epoch=0 if self._validation else epoch,
                cells=np.array([numbers[row] for row in rows], dtype=np.uint64),
                validation=self._validation,
            )
            for row, values, (chosen, hidden) in zip(rows, expressed, choices, strict=True):
                masked[row, values[chosen[:hidden]]] = True
                scored[row, values[chosen]] = addresses[row][1] >= 0
        return {
            "expression": torch.from_numpy(expression),
            "masked": torch.from_numpy(masked),
            "scored": torch.from_numpy(scored),
            "cell": torch.tensor([max(number, -1) for _, number in addresses]),
        }

    def expression(self, numbers: Sequence[int]) -> npt.NDArray[np.float32]:
        """Expression of some cells, ``(cells, genes of the vocabulary)``."""
        cells = self._cells()
        rows = [cells.block(start, stop) for start, stop in runs(numbers)]
        return np.concatenate(rows)

    def _cells(self) -> PreparedCells:
        if self._opened is None or self._opened[0] != os.getpid():
            source = replace_obs(open_cells(self._path, matrix=self._matrix))
            self._opened = (
                os.getpid(),
                PreparedCells(source, self._match, self._survey, self._input),
            )
        return self._opened[1]


def replace_obs(source: CellSource) -> CellSource:
    """The source with only the index of its cells: a worker needs no annotation."""
    return replace(source, obs=source.obs.iloc[:, :0])


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as runs ``(start, stop)`` of consecutive ones, in their order."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found


def split_cells(
    names: Sequence[str], fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of the cells for training and for validation.

    A cell's side is decided by a hash of its name and the seed, so that it stays where it is when
    cells are added or put in another order. Where no hash falls below the fraction, the lowest one
    makes a validation set of one cell.

    Args:
        names: of the cells.
        fraction: for validation; 0 for none.
        seed: of the split.
    """
    hashes = np.array([_share(name, seed) for name in names])
    held_out = hashes < fraction
    if fraction > 0 and not held_out.any():
        held_out[np.argmin(hashes)] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _share(name: str, seed: int) -> float:
    """A number from 0 to 1 for a name."""
    digest = hashlib.blake2b(f"{seed}\n{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _HASH_RANGE


def cells_digest(names: Iterable[str]) -> str:
    """SHA-256 over the names of cells in their order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


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

    def __init__(  # settings of a user, each by its name
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
                f"{cells.size:,} training cells do not fill one batch of {batch_size} "
                f"on each of {ranks} ranks: lower data.batch_size or use more cells"
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

    def __init__(  # settings of a user, each by its name
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
                    f"the checkpoint is in the middle of an epoch over {name} "
                    f"{state.get(name)}, and this run has {value}: resume with the same "
                    "data, seed and batch_size x ranks"
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

    def __init__(  # settings of a user, each by its name
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

    def __init__(  # settings of a user, each by its name
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
