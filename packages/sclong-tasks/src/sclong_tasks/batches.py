"""Rows of a task as batches of tensors, without a Python step for each row."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Batch = dict[str, Tensor]


class Columns(Dataset[Batch]):
    """Tensors side by side; a batch is taken from each at once.

    Args:
        columns: by name, all of one length.
    """

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, row: int) -> Batch:
        return {name: column[row] for name, column in self.columns.items()}

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """What a loader asks for: all rows of a batch together."""
        chosen = torch.as_tensor(rows)
        return {name: column[chosen] for name, column in self.columns.items()}


def row_batches(
    columns: Mapping[str, Tensor], batch_size: int, *, shuffle_seed: int | None = None
) -> DataLoader[Batch]:
    """A loader over all rows.

    Args:
        columns: by name.
        batch_size: rows a step.
        shuffle_seed: of a new order in every epoch; None keeps the order of the rows.
    """
    return batches_of(Columns(columns), batch_size, shuffle_seed=shuffle_seed)


def batches_of(
    rows: Dataset[Batch], batch_size: int, *, shuffle_seed: int | None = None
) -> DataLoader[Batch]:
    """A loader over a data set that gives whole batches, as :class:`Columns` does."""
    generator = None
    if shuffle_seed is not None:
        generator = torch.Generator().manual_seed(shuffle_seed)
    return DataLoader(
        rows,
        batch_size=batch_size,
        shuffle=shuffle_seed is not None,
        generator=generator,
        collate_fn=_as_it_is,
    )


def _as_it_is(batch: Any) -> Any:
    return batch
