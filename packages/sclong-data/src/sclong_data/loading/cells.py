"""Cells with their masks in compressed form, and the batches that are made of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from sclong_core.pretraining.batches import Batch

SCORED, MASKED = 1, 2
"""Bits of the flags of a value."""
_SMALL = np.iinfo(np.uint16).max
Positions: TypeAlias = npt.NDArray[np.uint16] | npt.NDArray[np.int32]


@dataclass(frozen=True)
class MaskedCells:
    """Some cells, one after the other."""

    cells: npt.NDArray[np.int64]
    """Their numbers, -1 for one that only fills the batch."""
    pointers: npt.NDArray[np.int64]
    """Where the values of each begin, ``(cells + 1,)``."""
    values: npt.NDArray[np.float32]
    """Expression, without zeros."""
    genes: Positions
    """Position of each value in the vocabulary."""
    flags: npt.NDArray[np.uint8]
    """``SCORED`` and ``MASKED`` of each value."""

    def __len__(self) -> int:
        """Number of cells."""
        return self.cells.size

    def __getitem__(self, chosen: slice) -> Self:
        """A run of cells; arrays are shared with the whole."""
        pointers = self.pointers[chosen.start : chosen.stop + 1]
        values = slice(int(pointers[0]), int(pointers[-1]))
        return type(self)(
            self.cells[chosen],
            pointers - pointers[0],
            self.values[values],
            self.genes[values],
            self.flags[values],
        )

    @classmethod
    def joined(cls, parts: "Sequence[MaskedCells]") -> "MaskedCells":
        """Several runs, one after the other."""
        if len(parts) == 1:
            return parts[0]
        ends = np.cumsum([part.values.size for part in parts])
        starts = [0, *ends[:-1].tolist()]
        pointers = [p.pointers[:-1] + start for p, start in zip(parts, starts, strict=True)]
        return cls(
            np.concatenate([part.cells for part in parts]),
            np.concatenate([*pointers, ends[-1:]]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.genes for part in parts]),
            np.concatenate([part.flags for part in parts]),
        )

    def to_tensors(self) -> tuple[Tensor, ...]:
        """What travels between processes."""
        return tuple(torch.from_numpy(getattr(self, field.name)) for field in fields(self))

    @classmethod
    def from_tensors(cls, tensors: Sequence[Tensor]) -> Self:
        """The cells that :meth:`to_tensors` sent; memory is shared, not copied."""
        return cls(*(tensor.numpy() for tensor in tensors))


def small_genes(positions: npt.NDArray[np.int32], genes: int) -> Positions:
    """Positions of genes in as few bytes as the vocabulary needs."""
    return positions.astype(np.uint16) if genes <= _SMALL else positions


def dense_batch(cells: MaskedCells, genes: int) -> Batch:
    """Tensors over all genes, as :data:`sclong_core.pretraining.batches.Batch` says."""
    shape = (len(cells), genes)
    positions = cells.genes.astype(np.int32)
    pointers = cells.pointers.astype(np.int32)
    expression = sparse.csr_array((cells.values, positions, pointers), shape=shape).toarray()
    masked, scored = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    chosen = np.flatnonzero(cells.flags)
    rows = np.searchsorted(cells.pointers, chosen, side="right") - 1
    places = rows * genes + positions[chosen]
    flags = cells.flags[chosen]
    scored.ravel()[places] = (flags & SCORED) > 0
    masked.ravel()[places] = (flags & MASKED) > 0
    return {
        "expression": torch.from_numpy(expression),
        "masked": torch.from_numpy(masked),
        "scored": torch.from_numpy(scored),
        "cell": torch.from_numpy(cells.cells.copy()),
    }


def ragged_batch(cells: MaskedCells, genes: int) -> Batch:
    """Expressed genes only.

    ``expression``, ``gene`` (int64), ``masked`` and ``scored`` have one entry a value; those of
    cell ``i`` stand from ``offsets[i]`` to ``offsets[i + 1]``. ``cell`` is as in a dense batch.
    """
    assert genes > 0  # the vocabulary's size, which dense batches need
    return {
        "expression": torch.from_numpy(cells.values.copy()),
        "gene": torch.from_numpy(cells.genes.astype(np.int64)),
        "masked": torch.from_numpy((cells.flags & MASKED) > 0),
        "scored": torch.from_numpy((cells.flags & SCORED) > 0),
        "offsets": torch.from_numpy(cells.pointers.astype(np.int64)),
        "cell": torch.from_numpy(cells.cells.copy()),
    }
