"""Cells of one file by their numbers, in any order and in any process."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

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

    def __init__(
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
