"""What models of mean expression share: arrays and names that are saved, one vector a condition.

Shapes: p conditions, g genes.
"""

import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.genetic_perturbation.data import PerturbationData
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

Floats = npt.NDArray[np.float64]
Targets = tuple[str, ...]


class MeanModel(TaskModel[PerturbationData]):
    """A vector of expression for each set of perturbed genes."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.arrays: dict[str, Floats] = {}
        """What was learnt."""
        self.names: dict[str, list[str]] = {}
        """Of the rows of arrays; "genes" are those of the data."""

    def fit(self, data: PerturbationData, split: Split, context: RunContext) -> None:
        """Learn from training conditions and all control cells."""
        del context
        self.names = {"genes": list(data.genes)}
        self.arrays = {"control": data.control_mean}
        self.learn(data, split.train)

    @abstractmethod
    def learn(self, data: PerturbationData, train: Rows) -> None:
        """Fill ``arrays`` and ``names``."""

    @abstractmethod
    def predict_one(self, targets: Targets) -> Floats:
        """``(g,)`` mean expression of cells in which these genes are perturbed."""

    def predict(self, data: PerturbationData, rows: Rows) -> pd.DataFrame:
        """One line a condition, one column a gene.

        Raises:
            InputError: the genes are not those that were trained on.
        """
        self.check_genes(data)
        found = [self.predict_one(data.targets[row]) for row in rows]
        values = np.array(found).reshape(len(rows), len(data.genes))
        return pd.DataFrame(values, index=rows, columns=list(data.genes))

    def check_genes(self, data: PerturbationData) -> None:
        """Refuse data of other genes."""
        if list(data.genes) != self.names["genes"]:
            raise InputError("the data have other genes than those that the model was fitted on")

    def save(self, folder: Path) -> None:
        """Arrays as npz, names as JSON."""
        np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **self.arrays)
        write_json(folder / "names.json", self.names)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        del context
        model = cls(cls.Options())
        model.names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            model.arrays = {name: arrays[name] for name in arrays.files}
        return model


def single_means(data: PerturbationData, rows: Rows) -> tuple[list[str], Floats]:
    """Genes perturbed alone in these conditions, and ``(p, g)`` means of their cells.

    Cells of both spellings of a condition are pooled.
    """
    sums: dict[str, Floats] = {}
    cells: dict[str, int] = {}
    counts = data.table["cells"].to_numpy()
    for row in rows:
        if len(data.targets[row]) == 1:
            gene = data.targets[row][0]
            sums[gene] = sums.get(gene, 0.0) + counts[row] * data.means[row]
            cells[gene] = cells.get(gene, 0) + int(counts[row])
    genes = sorted(sums)
    means = [sums[gene] / cells[gene] for gene in genes]
    return genes, np.array(means).reshape(len(genes), len(data.genes))


def look_up(names: Sequence[str], gene: str) -> int | None:
    """The place of a gene among names; None where it is not there."""
    return names.index(gene) if gene in names else None
