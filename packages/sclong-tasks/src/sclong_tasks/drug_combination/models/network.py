"""The network as a model of the task: built, trained, saved, and bound to new data.

What is saved are the weights that training changed. Frozen weights of an encoder are not: they are
in its checkpoint, whose digest is kept and compared.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.batches import row_batches
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemistry.graphs import GraphTable, drug_graphs
from sclong_tasks.drug_combination.data import TARGET, CombinationData
from sclong_tasks.drug_combination.module import CombinationModule, NetworkShape, Schedule
from sclong_tasks.encoders.choose import EncoderOptions, make_slot
from sclong_tasks.settings import as_plain, resolve
from sclong_tasks.splits import Split
from sclong_tasks.task import ProtocolName, Rows, RunContext, TaskModel
from sclong_tasks.training import (
    Fit,
    TrainingOptions,
    evaluate_in_batches,
    fit_module,
    parameters,
    seeded,
    trained_state,
)

_WEIGHTS, _FACTS = "model.safetensors", "model.json"
_PREDICT_ROWS = 4096


def _training() -> TrainingOptions:
    return TrainingOptions(epochs=100, batch_size=256, learning_rate=1e-4, patience=15)


@dataclass
class NetworkOptions:
    """Encoder, network and training."""

    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    """Of cell lines."""
    shape: NetworkShape = field(default_factory=NetworkShape)
    """Widths and rules."""
    training: TrainingOptions = field(default_factory=_training)
    """How long, and what stops it."""
    shuffle: bool = True
    """A new order of the rows in every epoch; the original never shuffles (fault)."""
    warmup: int = 0
    """Epochs until the learning rate is reached."""
    final_learning_rate: float = 0.0
    """Of the last epoch; 0 keeps it constant."""

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """Published: one order of drugs and of rows, all epochs, chosen by AUROC on test rows."""
        options = cls()
        if protocol == "published":
            options.shape.symmetric = False
            options.shape.cell_scaling = "length" if options.encoder.name == "raw" else "none"
            options.encoder.log = False
            options.shuffle = False
            options.training.patience = options.training.epochs
            options.training.monitor, options.training.mode = "validation_auroc", "max"
        return options


class Network(TaskModel[CombinationData]):
    """Graph network of drugs, encoder of cell lines, head."""

    Options: ClassVar[type] = NetworkOptions
    module: CombinationModule
    result: Fit | None = None

    def fit(self, data: CombinationData, split: Split, context: RunContext) -> None:
        """Train on the training rows, stop by the validation rows."""
        self._build(data, context)
        lines = np.unique(data.cell[split.train])
        self.module.scale_by(torch.from_numpy(lines))
        options = self.options
        size = options.training.batch_size
        seed = context.seed if options.shuffle else None
        training = row_batches(_columns(data, split.train), size, shuffle_seed=seed)
        validation = None
        if len(split.validation):
            validation = row_batches(_columns(data, split.validation), _PREDICT_ROWS)
        self.result = fit_module(self.module, training, validation, options.training, context)

    def predict(self, data: CombinationData, rows: Rows) -> pd.DataFrame:
        """Probabilities of synergy."""
        self._bind(data)
        self.module.eval()
        logits = evaluate_in_batches(self.module, row_batches(_columns(data, rows), _PREDICT_ROWS))
        score = logits.reshape(-1, 2).softmax(1)[:, 1].double().numpy()
        return pd.DataFrame({TARGET: score}, index=rows)

    def save(self, folder: Path) -> None:
        """Trained weights as safetensors, options and facts as JSON."""
        save_file(trained_state(self.module), folder / _WEIGHTS)
        write_json(
            folder / _FACTS,
            {
                "options": as_plain(self.options),
                "encoder": self.encoder_facts,
                "cell_features": self.module.cells.dim,
            },
        )

    @classmethod
    def load(cls, folder: Path, context: RunContext) -> Self:
        """Read what :meth:`save` wrote; the network is built when there is something to predict."""
        content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        options = resolve(cls.Options, context.protocol, content["options"], "model")
        model = cls(options)
        model._context = context
        model._saved = load_file(folder / _WEIGHTS)
        model._expected = (content["encoder"], content["cell_features"])
        return model

    _context: RunContext
    _saved: dict[str, Tensor] | None = None
    _expected: tuple[dict[str, Any], int] | None = None

    def describe(self) -> dict[str, Any]:
        """Parameters, epochs, and what the encoder rests on."""
        facts: dict[str, Any] = {"encoder": self.encoder_facts, **parameters(self.module)}
        if "model" in self.encoder_facts:
            facts["checkpoint_digest"] = self._checkpoint_digest()
        if self.result is not None:
            facts |= {**self.result.describe(), "history": self.result.history}
        return facts

    def _checkpoint_digest(self) -> str:
        """Empty for random weights, which differ with the seed and are no checkpoint."""
        random = self.options.encoder.name == "random"
        return "" if random else str(self.encoder_facts["model"])

    def _build(self, data: CombinationData, context: RunContext) -> None:
        self._context = context
        options = self.options
        schedule = Schedule(
            options.training.learning_rate,
            options.training.epochs,
            options.warmup,
            options.final_learning_rate,
        )
        slot, self.encoder_facts = make_slot(options.encoder, context, data.expression)
        with seeded(context.seed):
            self.module = CombinationModule(options.shape, schedule, self._graphs(data), slot)
        self._bound = data.parts_digest

    encoder_facts: dict[str, Any]
    _bound: str

    def _bind(self, data: CombinationData) -> None:
        """Give the network the drugs and cell lines of ``data``."""
        if self._saved is not None:
            self._restore(data)
        elif data.parts_digest != self._bound:
            trained = self.module.cells
            slot, _ = make_slot(self.options.encoder, self._context, data.expression)
            if self.options.encoder.tuning != "frozen":
                slot.load_state_dict(trained.state_dict())  # type: ignore[attr-defined]  # a module
            self.module.cells, self.module.graphs = slot, self._graphs(data)
            self._bound = data.parts_digest

    def _restore(self, data: CombinationData) -> None:
        assert self._saved is not None
        assert self._expected is not None
        self._build(data, self._context)
        facts, width = self._expected
        if self.module.cells.dim != width:
            raise InputError(
                f"the encoder gives {self.module.cells.dim} features a cell line, the trained "
                f"network takes {width}: give the genes and the checkpoint that it was trained with"
            )
        trained_on, here = facts.get("model"), self.encoder_facts.get("model")
        if trained_on != here:
            raise InputError("the checkpoint is not the one that the run was trained with")
        self.module.load_state_dict(self._saved, strict=False)
        self._saved = None

    def _graphs(self, data: CombinationData) -> GraphTable:
        cache = ContentCache(self._context.cache)
        return GraphTable(drug_graphs(data.molecules, "deepdds", cache=cache))


def _columns(data: CombinationData, rows: npt.NDArray[np.int64]) -> dict[str, Tensor]:
    synergy = np.nan_to_num(data.synergy[rows]).astype(np.int64)
    names = {"first": data.first, "second": data.second, "cell": data.cell}
    columns = {name: torch.from_numpy(values[rows]) for name, values in names.items()}
    return {**columns, "synergy": torch.from_numpy(synergy)}
