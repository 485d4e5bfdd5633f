"""A network over drugs and cell lines as a model of a task: trained, saved, bound to new data.

What is saved are the weights that training changed. Frozen weights of an encoder are not: they are
in its checkpoint, whose digest is kept and compared.
"""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

from lightning.pytorch import LightningModule
from safetensors.torch import load_file, save_file
from torch import Tensor

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.batches import row_batches
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemistry.atoms import AtomFeatures
from sclong_tasks.chemistry.graphs import GraphTable, drug_graphs
from sclong_tasks.chemistry.molecules import Molecules
from sclong_tasks.encoders.slots import CellSlot
from sclong_tasks.settings import as_plain, resolve
from sclong_tasks.splits import Split
from sclong_tasks.task import Rows, RunContext, TaskData, TaskModel
from sclong_tasks.training import (
    Fit,
    evaluate_in_batches,
    fit_module,
    parameters,
    seeded,
    trained_state,
)

_WEIGHTS, _FACTS = "model.safetensors", "model.json"


class DrugData(TaskData, Protocol):
    """Rows that name drugs and cell lines."""

    @property
    def molecules(self) -> Molecules:
        """The drugs."""
        ...

    @property
    def parts_digest(self) -> str:
        """SHA-256 over drugs and what the slot is made of: what a network is bound to."""
        ...


class DrugModule(LightningModule):
    """A network whose drugs and cell lines can be replaced by others."""

    graphs: GraphTable
    """Of the drugs."""
    cells: CellSlot
    """The encoder's slot."""


DrugDataT = TypeVar("DrugDataT", bound=DrugData)


class DrugNetwork(TaskModel[DrugDataT]):
    """What networks over drugs and cell lines share; a task says how its own is built and fed.

    Its options hold ``encoder`` and ``training``.
    """

    atom_features: ClassVar[AtomFeatures]
    """Of the drugs' graphs, by name."""
    width_name: ClassVar[str] = "features"
    """What the saved facts call the width of the encoder."""
    predict_rows: ClassVar[int] = 4096
    """Rows at a time where nothing is trained."""
    module: DrugModule
    result: Fit | None = None
    encoder_facts: dict[str, Any]
    """What the encoder rests on."""
    _context: RunContext
    _bound: str
    _saved: dict[str, Tensor] | None = None
    _expected: tuple[dict[str, Any], int]

    @abstractmethod
    def build(self, graphs: GraphTable, slot: CellSlot) -> DrugModule:
        """The network, untrained."""

    @abstractmethod
    def slot(self, data: DrugDataT, context: RunContext) -> tuple[CellSlot, dict[str, Any]]:
        """The encoder's place in the network, and facts for the record."""

    @abstractmethod
    def columns(self, data: DrugDataT, rows: Rows) -> dict[str, Tensor]:
        """What a batch holds."""

    def prepare(self, data: DrugDataT, split: Split) -> None:
        """Set what the network takes from the training rows before it is trained."""

    def shuffle_seed(self, context: RunContext) -> int | None:
        """Of the order of the rows; None keeps one order."""
        return context.seed

    def fit(self, data: DrugDataT, split: Split, context: RunContext) -> None:
        """Train on the training rows, select by the validation rows."""
        training = self.options.training
        self._build(data, context)
        self.prepare(data, split)
        batches = row_batches(
            self.columns(data, split.train),
            training.batch_size,
            shuffle_seed=self.shuffle_seed(context),
        )
        validation = None
        if len(split.validation):
            validation = row_batches(self.columns(data, split.validation), self.predict_rows)
        self.result = fit_module(self.module, batches, validation, training, context)

    def outputs(self, data: DrugDataT, rows: Rows) -> Tensor:
        """What the network gives for rows, in large batches."""
        self._bind(data)
        self.module.eval()
        return evaluate_in_batches(
            self.module, row_batches(self.columns(data, rows), self.predict_rows)
        )

    def save(self, folder: Path) -> None:
        """Trained weights as safetensors, options and facts as JSON."""
        save_file(trained_state(self.module), folder / _WEIGHTS)
        facts = {
            "options": as_plain(self.options),
            "encoder": self.encoder_facts,
            self.width_name: self.module.cells.dim,
        }
        write_json(folder / _FACTS, facts)

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote; the network is built when there is something to predict."""
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        model = cls(resolve(cls.Options, context.protocol, facts["options"], "model"))
        model._context = context
        model._saved = load_file(folder / _WEIGHTS)
        model._expected = (facts["encoder"], facts[cls.width_name])
        return model

    def describe(self) -> dict[str, Any]:
        """Parameters, epochs, and what the encoder rests on."""
        facts: dict[str, Any] = {"encoder": self.encoder_facts, **parameters(self.module)}
        if self.result is not None:
            facts |= {**self.result.describe(), "history": self.result.history}
        return facts

    def _build(self, data: DrugDataT, context: RunContext) -> None:
        self._context = context
        slot, self.encoder_facts = self.slot(data, context)
        with seeded(context.seed):
            self.module = self.build(self._graphs(data), slot)
        self._bound = data.parts_digest

    def _bind(self, data: DrugDataT) -> None:
        """Give the network the drugs and cell lines of ``data``."""
        if self._saved is not None:
            self._restore(data, self._saved)
        elif data.parts_digest != self._bound:
            trained = self.module.cells
            slot, _ = self.slot(data, self._context)
            if self.options.encoder.tuning != "frozen":
                slot.load_state_dict(trained.state_dict())  # type: ignore[attr-defined]  # a module
            self.module.cells, self.module.graphs = slot, self._graphs(data)
            self._bound = data.parts_digest

    def _restore(self, data: DrugDataT, saved: dict[str, Tensor]) -> None:
        self._build(data, self._context)
        facts, width = self._expected
        if self.module.cells.dim != width:
            raise InputError(
                f"the encoder returns {self.module.cells.dim} features per cell line, "
                f"but the trained network takes {width}: use the genes and the "
                "checkpoint that it was trained with"
            )
        if facts.get("model") != self.encoder_facts.get("model"):
            raise InputError("the checkpoint is not the one that the run was trained with")
        self.module.load_state_dict(saved, strict=False)
        self._saved = None

    def _graphs(self, data: DrugDataT) -> GraphTable:
        cache = ContentCache(self._context.cache)
        return GraphTable(drug_graphs(data.molecules, self.atom_features, cache=cache))
