"""The network with each encoder in the cell line's slot."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sclong_tasks.chemistry.atoms import AtomFeatures
from sclong_tasks.chemistry.graphs import GraphTable
from sclong_tasks.drug_network import DrugNetwork
from sclong_tasks.drug_response.config import DeepCdrOptions
from sclong_tasks.drug_response.data import TARGET, DrugResponseData
from sclong_tasks.drug_response.module import DeepCdrModule
from sclong_tasks.encoders.choose import make_slot
from sclong_tasks.encoders.slots import CellSlot
from sclong_tasks.splits import Split
from sclong_tasks.task import Rows, RunContext


class NeuralModel(DrugNetwork[DrugResponseData]):
    """DeepCDR's network over an encoder."""

    Options: ClassVar[type] = DeepCdrOptions
    atom_features: ClassVar[AtomFeatures] = "deepcdr"
    module: DeepCdrModule

    def build(self, graphs: GraphTable, slot: CellSlot) -> DeepCdrModule:
        """DeepCDR's network."""
        return DeepCdrModule(
            self.options.network, self.options.training.learning_rate, graphs, slot
        )

    def slot(self, data: DrugResponseData, context: RunContext) -> tuple[CellSlot, dict[str, Any]]:
        """Of the cell lines, whose expression there must be."""
        return make_slot(self.options.encoder, context, data.need_expression())

    def columns(self, data: DrugResponseData, rows: Rows) -> dict[str, Tensor]:
        """What a batch holds."""
        return columns(data, rows)

    def prepare(self, data: DrugResponseData, split: Split) -> None:
        """Scale features and targets as the training rows are spread."""
        if self.options.standardise:
            lines = torch.from_numpy(np.unique(data.line[split.train]))
            targets = torch.from_numpy(data.target[split.train].astype(np.float32))
            self.module.scale_by(lines, targets)

    def predict(self, data: DrugResponseData, rows: Rows) -> pd.DataFrame:
        """Ln IC50 of rows."""
        return pd.DataFrame({TARGET: self.outputs(data, rows).double().numpy()}, index=rows)

    def describe(self) -> dict[str, Any]:
        """Also how the encoder is used, and its checkpoint."""
        encoder, facts = self.options.encoder, super().describe()
        facts["variant"] = encoder.variant(self.Options().encoder)
        if "model" in self.encoder_facts and encoder.name != "random":
            facts["checkpoint_digest"] = str(self.encoder_facts["model"])
        return facts


def columns(data: DrugResponseData, rows: Rows) -> dict[str, Tensor]:
    """What a batch holds; hidden targets are zero, and are not looked at."""
    return {
        "line": torch.from_numpy(data.line[rows]),
        "drug": torch.from_numpy(data.drug[rows]),
        "target": torch.from_numpy(np.nan_to_num(data.target[rows]).astype(np.float32)),
    }
