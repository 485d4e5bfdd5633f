"""Models that know nothing of a compound: means of training profiles, and no change at all.

Shapes: g genes, k groups.
"""

import json
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.chemical_perturbation.data import ChemicalData, Floats
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

Columns = tuple[str, ...]


class MeanModel(TaskModel[ChemicalData]):
    """The mean of the training profiles of a row's group; where there is none, of a larger one."""

    Options: ClassVar[type] = NoOptions
    by: ClassVar[tuple[Columns, ...]] = ()
    """Columns that make groups, the finest first; the mean of all rows is what is left."""

    genes: tuple[str, ...]
    means: dict[str, Floats]
    """Mean profile by the name of a group."""

    def fit(self, data: ChemicalData, split: Split, context: RunContext) -> None:
        """Take the means."""
        del context
        self.genes = data.genes
        self.means = {"": data.mean_profile(split.train)}
        for columns in self.by:
            names = _names(data, split.train, columns)
            for name in sorted(set(names)):
                self.means[name] = data.mean_profile(split.train[names == name])

    def predict(self, data: ChemicalData, rows: Rows) -> pd.DataFrame:
        """The mean of the finest known group."""
        check_genes(data, self.genes)
        candidates = [_names(data, rows, columns) for columns in self.by]
        found = np.empty((len(rows), len(self.genes)))
        for place in range(len(rows)):
            names = [str(names[place]) for names in candidates]
            known = next((name for name in names if name in self.means), "")
            found[place] = self.means[known]
        return pd.DataFrame(found, index=rows, columns=list(self.genes))

    def save(self, folder: Path) -> None:
        """Means as npz, names as JSON."""
        np.savez_compressed(folder / "means.npz", means=np.stack(list(self.means.values())))
        write_json(folder / "names.json", {"groups": list(self.means), "genes": list(self.genes)})

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote."""
        del context
        model = cls(cls.Options())
        names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        with np.load(folder / "means.npz", allow_pickle=False) as arrays:
            model.means = dict(zip(names["groups"], arrays["means"], strict=True))
        model.genes = tuple(names["genes"])
        return model

    def describe(self) -> dict[str, int]:
        """How many groups it knows."""
        return {"groups": len(self.means)}


class GeneMean(MeanModel):
    """The mean of all training profiles, for every row."""


class CellMean(MeanModel):
    """The mean of the training profiles of the cell line."""

    by: ClassVar[tuple[Columns, ...]] = (("cell_id",),)


class CellDoseMean(MeanModel):
    """The mean of the training profiles of the cell line at the dose."""

    by: ClassVar[tuple[Columns, ...]] = (("cell_id", "dose"), ("cell_id",))


class Zero(MeanModel):
    """No change."""

    def fit(self, data: ChemicalData, split: Split, context: RunContext) -> None:
        """There is nothing to learn."""
        del split, context
        self.genes = data.genes
        self.means = {"": np.zeros(len(data.genes))}


def check_genes(data: ChemicalData, genes: tuple[str, ...]) -> None:
    """Refuse data of other genes than those of the training.

    Raises:
        InputError: the genes differ.
    """
    if data.genes != genes:
        raise InputError("the data have other genes than those that the model was fitted on")


def _names(data: ChemicalData, rows: Rows, columns: Columns) -> npt.NDArray[np.str_]:
    table = data.table.iloc[rows]
    names = table[list(columns)].astype(str).agg("\t".join, axis=1)
    found: npt.NDArray[np.str_] = names.to_numpy().astype(str)
    return found
