"""What all embeddings share: a table of cells by number, and files."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.batch_integration.data import IntegrationData
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.settings import as_plain
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

Values = npt.NDArray[np.float32]
_FACTS, _ARRAYS = "model.json", "arrays.npz"


class Embedding(TaskModel[IntegrationData]):
    """A table of numbers for cells; what it is told of batches and types, its model says."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.facts: dict[str, Any] = {}
        self.context: RunContext | None = None

    def fit(self, data: IntegrationData, split: Split, context: RunContext) -> None:
        """Look at the cells to be embedded."""
        del split
        self.context = context
        self.learn(data)

    def learn(self, data: IntegrationData) -> None:
        """Keep in ``arrays`` what :meth:`embed` needs of these cells."""

    @abstractmethod
    def embed(self, data: IntegrationData) -> tuple[Values, list[str]]:
        """Numbers of all cells, and the names of the columns."""

    def predict(self, data: IntegrationData, rows: Rows) -> pd.DataFrame:
        """The embedding of these cells."""
        values, names = self.embed(data)
        return pd.DataFrame(values[rows], index=rows, columns=names)

    def save(self, folder: Path) -> None:
        """Write options and arrays."""
        write_json(folder / _FACTS, {"options": as_plain(self.options), "facts": self.facts})
        arrays: dict[str, Any] = dict(self.arrays)
        np.savez_compressed(folder / _ARRAYS, **arrays)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: a file is missing or damaged.
        """
        try:
            content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            model = cls(cls.Options(**content["options"]))
            model.facts = content["facts"]
            with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
                model.arrays = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no model: {error}") from error
        model.context = context
        return model

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return dict(self.facts)

    @property
    def seed(self) -> int:
        """Of the run."""
        assert self.context is not None
        return self.context.seed


def numbered(values: npt.NDArray[Any]) -> tuple[Values, list[str]]:
    """Values with numbers for names."""
    return np.asarray(values, dtype=np.float32), [str(place) for place in range(values.shape[1])]


def expression_of(data: IntegrationData, genes: npt.NDArray[np.str_]) -> Values:
    """Expression of these genes, in this order.

    Raises:
        InputError: some are not in the data.
    """
    places = pd.Index(data.expression.genes).get_indexer(pd.Index(genes))
    missing = genes[places < 0].tolist()
    if missing:
        raise InputError(f"the cells lack {len(missing)} genes of the model: {shown(missing)}")
    return data.expression.log1p[:, places]
