"""The network as a model of the task."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from sclong_tasks.chemistry.atoms import AtomFeatures
from sclong_tasks.chemistry.graphs import GraphTable
from sclong_tasks.drug_combination.data import TARGET, CombinationData
from sclong_tasks.drug_combination.module import CombinationModule, NetworkShape
from sclong_tasks.drug_network import DrugNetwork
from sclong_tasks.encoders.choose import EncoderOptions, make_slot
from sclong_tasks.encoders.slots import CellSlot
from sclong_tasks.splits import Split
from sclong_tasks.task import ProtocolName, Rows, RunContext
from sclong_tasks.training import Schedule, TrainingOptions


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


class Network(DrugNetwork[CombinationData]):
    """Graph network of drugs, encoder of cell lines, head."""

    Options: ClassVar[type] = NetworkOptions
    atom_features: ClassVar[AtomFeatures] = "deepdds"
    width_name: ClassVar[str] = "cell_features"
    module: CombinationModule

    def build(self, graphs: GraphTable, slot: CellSlot) -> CombinationModule:
        """DeepDDS's network, or its symmetric form."""
        options = self.options
        schedule = Schedule(
            options.training.learning_rate,
            options.training.epochs,
            options.warmup,
            options.final_learning_rate,
        )
        return CombinationModule(options.shape, schedule, graphs, slot)

    def slot(self, data: CombinationData, context: RunContext) -> tuple[CellSlot, dict[str, Any]]:
        """Of the cell lines."""
        return make_slot(self.options.encoder, context, data.expression)

    def columns(self, data: CombinationData, rows: Rows) -> dict[str, Tensor]:
        """What a batch holds."""
        return _columns(data, rows)

    def prepare(self, data: CombinationData, split: Split) -> None:
        """Scale features as the training cell lines are spread."""
        self.module.scale_by(torch.from_numpy(np.unique(data.cell[split.train])))

    def shuffle_seed(self, context: RunContext) -> int | None:
        """None where rows keep their order, as in the original."""
        return context.seed if self.options.shuffle else None

    def predict(self, data: CombinationData, rows: Rows) -> pd.DataFrame:
        """Probabilities of synergy."""
        logits = self.outputs(data, rows)
        score = logits.reshape(-1, 2).softmax(1)[:, 1].double().numpy()
        return pd.DataFrame({TARGET: score}, index=rows)

    def describe(self) -> dict[str, Any]:
        """Also the checkpoint; empty for random weights, which differ with the seed."""
        facts = super().describe()
        if "model" in self.encoder_facts:
            random = self.options.encoder.name == "random"
            facts["checkpoint_digest"] = "" if random else str(self.encoder_facts["model"])
        return facts


def _columns(data: CombinationData, rows: npt.NDArray[np.int64]) -> dict[str, Tensor]:
    synergy = np.nan_to_num(data.synergy[rows]).astype(np.int64)
    names = {"first": data.first, "second": data.second, "cell": data.cell}
    columns = {name: torch.from_numpy(values[rows]) for name, values in names.items()}
    return {**columns, "synergy": torch.from_numpy(synergy)}
