"""What models of genes share: a vector for each gene in each cell type, facts that are saved."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.settings import as_plain
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

Values = npt.NDArray[np.float32]
_FACTS = "model.json"


class GeneModel(TaskModel[MarkerData]):
    """Vectors of genes; markers are not looked at, and nothing is learnt."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.facts: dict[str, Any] = {}
        self.seed = 0
        self.context: RunContext | None = None

    def fit(self, data: MarkerData, split: Split, context: RunContext) -> None:
        """Keep the seed, which draws the cells."""
        del data, split
        self.context, self.seed = context, context.seed

    @abstractmethod
    def vectors(self, data: MarkerData, kind: int, genes: npt.NDArray[np.int64]) -> Values:
        """``(genes, numbers)`` of these genes in cells of one type."""

    def predict(self, data: MarkerData, rows: Rows) -> pd.DataFrame:
        """One line a gene in a type; types of shorter vectors are filled with zeros."""
        kinds = data.kind[rows]
        parts = {
            kind: self.vectors(data, int(kind), data.gene[rows[kinds == kind]])
            for kind in np.unique(kinds)
        }
        width = max((part.shape[1] for part in parts.values()), default=0)
        values = np.zeros((len(rows), width), dtype=np.float32)
        for kind, part in parts.items():
            values[np.flatnonzero(kinds == kind), : part.shape[1]] = part
        return pd.DataFrame(values, index=rows, columns=[str(one) for one in range(width)])

    def save(self, folder: Path) -> None:
        """Options and seed; a checkpoint is named by its digest, and given again to predict."""
        content = {"options": as_plain(self.options), "facts": self.facts, "seed": self.seed}
        write_json(folder / _FACTS, content)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file is missing or damaged.
        """
        try:
            content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            model = cls(cls.Options(**content["options"]))
            model.facts, model.seed = content["facts"], content["seed"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no model: {error}") from error
        model.context = context
        return model

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return dict(self.facts)
