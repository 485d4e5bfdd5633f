"""What all models share: a weight for each regulator and gene, and files."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.grn.data import TARGET, GrnData
from sclong_tasks.settings import as_plain
from sclong_tasks.splits import Split
from sclong_tasks.task import NoOptions, Rows, RunContext, TaskModel

Weights = npt.NDArray[np.float32]
_FACTS, _WEIGHTS = "model.json", "weights.npy"


class EdgeModel(TaskModel[GrnData]):
    """A weight for each edge from a regulator to a gene. What edges there are is not looked at."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.weights: Weights = np.empty((0, 0), np.float32)
        self.regulators: tuple[str, ...] = ()
        self.genes: tuple[str, ...] = ()
        self.facts: dict[str, Any] = {}

    def fit(self, data: GrnData, split: Split, context: RunContext) -> None:
        """Find the weights from expression; labels are hidden."""
        del split
        self.genes = data.genes
        self.regulators = tuple(data.genes[place] for place in data.regulators)
        # A copy, for what lies in the cache cannot be written to.
        self.weights = np.array(self.infer(data, context), dtype=np.float32)
        own = np.arange(len(self.regulators))
        self.weights[own, data.regulators] = 0
        self.facts["zero_weights"] = int((self.weights == 0).sum()) - len(own)

    @abstractmethod
    def infer(self, data: GrnData, context: RunContext) -> npt.NDArray[Any]:
        """``(regulators, genes)`` weights."""

    def predict(self, data: GrnData, rows: Rows) -> pd.DataFrame:
        """The weights of these edges.

        Raises:
            InputError: a gene is not among those that the model has weights of.
        """
        source = _places(self.regulators, data)[data.source[rows]]
        target = _places(self.genes, data)[data.target[rows]]
        for what, places, genes in (
            ("regulators", source, data.source[rows]),
            ("genes", target, data.target[rows]),
        ):
            missing = sorted({data.genes[gene] for gene in genes[places < 0]})
            if missing:
                raise InputError(f"{len(missing)} are not {what} of the run: {shown(missing)}")
        return pd.DataFrame({TARGET: self.weights[source, target]}, index=rows)

    def save(self, folder: Path) -> None:
        """Write options, names and weights."""
        content = {"options": as_plain(self.options), "facts": self.facts}
        names = {"regulators": list(self.regulators), "genes": list(self.genes)}
        write_json(folder / _FACTS, {**content, **names})
        np.save(folder / _WEIGHTS, self.weights, allow_pickle=False)

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
            model.facts = content["facts"]
            model.regulators, model.genes = (
                tuple(content[name]) for name in ("regulators", "genes")
            )
            model.weights = np.load(folder / _WEIGHTS, allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no model: {error}") from error
        return model

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return dict(self.facts)


def cosines(
    vectors: npt.NDArray[np.float32], regulators: npt.NDArray[np.int32], block: int = 4096
) -> Weights:
    """``(regulators, genes)`` cosine between rows; 0 where one is all zero.

    Args:
        vectors: ``(genes, numbers)``.
        regulators: rows that are compared to all.
        block: genes at a time.
    """
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
    found = np.empty((len(regulators), len(unit)), dtype=np.float32)
    chosen = unit[regulators]
    for start in range(0, len(unit), block):
        found[:, start : start + block] = chosen @ unit[start : start + block].T
    return found


def _places(names: tuple[str, ...], data: GrnData) -> npt.NDArray[np.int64]:
    """Place of each gene of the data in the model; -1 where it has none."""
    found: npt.NDArray[np.int64] = pd.Index(names).get_indexer(pd.Index(data.genes))
    return found
