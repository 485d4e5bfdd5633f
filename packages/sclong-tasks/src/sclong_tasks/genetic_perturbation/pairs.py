"""Training cells, each with the control cell that its prediction starts from; batch by batch.

Shapes: b cells of a batch, c cells, r training conditions, g genes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch.utils.data import Dataset

from sclong_tasks.batches import Batch
from sclong_tasks.genetic_perturbation.data import PerturbationData
from sclong_tasks.task import Rows

Places = npt.NDArray[np.int64]


class CellPairs(Dataset[Batch]):
    """Perturbed cells with a control cell drawn for each, and control cells with themselves.

    Expression is held sparse, once; there is no object for a cell.

    Args:
        data: with the cells of the conditions.
        rows: conditions to train on.
        targets: ``(r, 2)`` numbers of the perturbed genes of each, -1 where there is one alone.
        controls: control cells to take part.
        seed: of the draws.
        fixed: draw once, as GEARS does, and not again in each epoch.
    """

    def __init__(  # settings of a user, each by its name
        self,
        data: PerturbationData,
        rows: Rows,
        targets: Places,
        controls: Places,
        *,
        seed: int,
        fixed: bool,
    ) -> None:
        place = np.full(len(data.table), -1)
        place[rows] = np.arange(len(rows))
        chosen = np.flatnonzero(place[data.row] >= 0)
        self.cells, self.control = data.cells[chosen], data.control
        self.controls = controls
        self.condition: Places = place[data.row[chosen]]
        self.targets = np.vstack([targets, np.full((1, 2), -1)])
        self._generator = np.random.default_rng(seed)
        self._drawn = self._draw(len(chosen)) if fixed else None

    def __len__(self) -> int:
        return len(self.condition) + len(self.controls)

    def __getitem__(self, cell: int) -> Batch:
        return {name: column[0] for name, column in self.__getitems__([cell]).items()}

    def __getitems__(self, cells: Sequence[int]) -> Batch:
        """``x`` and ``y`` ``(b, g)``, ``control``, ``condition`` and ``targets`` of each cell."""
        chosen = np.asarray(cells, dtype=np.int64)
        perturbed = chosen < len(self.condition)
        condition = np.full(len(chosen), len(self.targets) - 1)
        condition[perturbed] = self.condition[chosen[perturbed]]
        control = np.empty(len(chosen), dtype=np.int64)
        control[~perturbed] = self.controls[chosen[~perturbed] - len(self.condition)]
        control[perturbed] = (
            self._draw(int(perturbed.sum()))
            if self._drawn is None
            else self._drawn[chosen[perturbed]]
        )
        x = _dense(self.control[control])
        y = x.clone()
        y[torch.from_numpy(perturbed)] = _dense(self.cells[chosen[perturbed]])
        numbers = {
            "control": control,
            "condition": condition,
            "targets": self.targets[condition],
        }
        return {"x": x, "y": y, **{name: torch.from_numpy(one) for name, one in numbers.items()}}

    def _draw(self, count: int) -> Places:
        return self.controls[self._generator.integers(len(self.controls), size=count)]


def _dense(cells: sparse.csr_matrix) -> torch.Tensor:
    return torch.from_numpy(cells.toarray().astype(np.float32, copy=False))
