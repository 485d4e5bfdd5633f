"""What models of pairs share: a table of measures, arrays and facts that are saved."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.genetic_interactions.data import InteractionData
from sclong_tasks.settings import as_plain
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

Floats = npt.NDArray[np.float64]
_ARRAYS, _FACTS = "arrays.npz", "model.json"


class PairModel(TaskModel[InteractionData]):
    """Measures of pairs; not necessarily all of them."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.arrays: dict[str, Floats] = {}
        """What was learnt."""
        self.names: dict[str, list[str]] = {}
        """Of rows and columns of arrays."""
        self.facts: dict[str, Any] = {}

    def fit(self, data: InteractionData, split: Split, context: RunContext) -> None:
        """Learn from training pairs."""
        self.arrays["seed"] = np.array([context.seed], dtype=np.float64)
        self.learn(data, split.train)

    def learn(self, data: InteractionData, train: Rows) -> None:
        """Fill ``arrays``, ``names`` and ``facts``."""

    @abstractmethod
    def measures(self, data: InteractionData, row: int) -> dict[str, float]:
        """Of one pair."""

    def predict(self, data: InteractionData, rows: Rows) -> pd.DataFrame:
        """One line a pair, one column a measure."""
        return pd.DataFrame([self.measures(data, int(row)) for row in rows], index=rows)

    def save(self, folder: Path) -> None:
        """Arrays as npz, the rest as JSON."""
        np.savez_compressed(folder / _ARRAYS, allow_pickle=False, **self.arrays)
        content = {"options": as_plain(self.options), "names": self.names, "facts": self.facts}
        write_json(folder / _FACTS, content)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: a file is missing or damaged.
        """
        del context
        try:
            content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            model = cls(cls.Options(**content["options"]))
            model.names, model.facts = content["names"], content["facts"]
            with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
                model.arrays = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no model: {error}") from error
        return model

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return dict(self.facts)
