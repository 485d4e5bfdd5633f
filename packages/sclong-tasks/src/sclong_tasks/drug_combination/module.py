"""The network: a graph network for drugs, the encoder's slot for cell lines, and a head.

Source: DeepDDS (Wang et al. 2022), its graph convolutional variant; the scLong paper, "Prediction
of cancer cell line responses to synergistic drug combinations".

Shapes: b rows, d distinct drugs of the batch, c distinct cell lines, h width of a drug.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, global_max_pool
from torchmetrics.classification import BinaryAUROC

from sclong_core.errors import ConfigError
from sclong_tasks.batches import Batch
from sclong_tasks.chemistry.graphs import GraphTable, distinct
from sclong_tasks.drug_network import DrugModule
from sclong_tasks.encoders.slots import CellSlot
from sclong_tasks.training import Schedule

SCALINGS = ("standard", "length", "none")


@dataclass
class NetworkShape:
    """Widths and rules of the network; the defaults are DeepDDS's."""

    graph: list[int] = field(default_factory=lambda: [78, 156, 312])
    """Widths of the graph convolutions, largest value over atoms after the last."""
    drug: list[int] = field(default_factory=lambda: [156, 128])
    """Widths of the layers after pooling; the last is that of a drug."""
    cell: list[int] = field(default_factory=lambda: [512, 256, 128])
    """Widths of the cell line's layers."""
    head: list[int] = field(default_factory=lambda: [512, 128])
    """Widths of the layers before the two outputs."""
    dropout: float = 0.2
    """In drug layers and head."""
    symmetric: bool = True
    """Average the head over both orders of the drugs; else what is predicted depends on which drug
    is named first (fault of the original)."""
    cell_scaling: str = "standard"
    """Of what the encoder gives: to mean 0 and s.d. 1 of each feature over the training cell lines
    ("standard"), to length 1 of each cell line ("length", the original's), or "none"."""

    def __post_init__(self) -> None:
        if self.cell_scaling not in SCALINGS:
            raise ConfigError(f"cell_scaling must be one of {', '.join(SCALINGS)}")
        if not 0 <= self.dropout < 1:
            raise ConfigError("dropout must be a share below 1")
        if not (self.graph and self.drug and self.cell and self.head):
            raise ConfigError("graph, drug, cell and head each need at least one width")


class CombinationModule(DrugModule):
    """Whether two drugs are synergistic in a cell line.

    Args:
        shape: widths and rules.
        schedule: of the learning rate.
        graphs: of the drugs; may be replaced by other ones.
        cells: the encoder's slot; may be replaced too.
    """

    cell_mean: Tensor
    cell_scale: Tensor

    def __init__(  # settings of a user, each by its name
        self, shape: NetworkShape, schedule: Schedule, graphs: GraphTable, cells: CellSlot
    ) -> None:
        super().__init__()
        self.shape, self.schedule = shape, schedule
        self.graphs, self.cells = graphs, cells
        widths = [graphs.x.shape[1], *shape.graph]
        self.convolutions = nn.ModuleList(GCNConv(one, other) for one, other in pairwise(widths))
        self.drug = _layers([shape.graph[-1], *shape.drug], shape.dropout, bare_end=True)
        self.cell = _layers([cells.dim, *shape.cell], 0.0, bare_end=True)
        joined = 2 * shape.drug[-1] + shape.cell[-1]
        self.head = nn.Sequential(
            _layers([joined, *shape.head], shape.dropout), nn.Linear(shape.head[-1], 2)
        )
        self.register_buffer("cell_mean", torch.zeros(cells.dim))
        self.register_buffer("cell_scale", torch.ones(cells.dim))
        self.area = BinaryAUROC()

    @torch.no_grad()
    def scale_by(self, training_cells: Tensor) -> None:
        """Take mean and s.d. of the features from these distinct cell lines."""
        if self.shape.cell_scaling != "standard":
            return
        features = self.cells(training_cells).flatten(1)
        self.cell_mean.copy_(features.mean(0))
        spread = features.std(0, correction=0)
        self.cell_scale.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def encode_drugs(self, drugs: Tensor) -> Tensor:
        """Distinct drugs ``(d,)`` to vectors ``(d, h)``."""
        x, edges, owner = self.graphs(drugs)
        for convolution in self.convolutions:
            x = torch.relu(convolution(x, edges))
        pooled = global_max_pool(x, owner, size=len(drugs))
        encoded: Tensor = self.drug(pooled)
        return encoded

    def encode_cells(self, cells: Tensor) -> Tensor:
        """Distinct cell lines ``(c,)`` to vectors ``(c, width)``."""
        features = self.cells(cells).flatten(1)
        if self.shape.cell_scaling == "length":
            features = nn.functional.normalize(features, p=2, dim=1)
        encoded: Tensor = self.cell((features - self.cell_mean) / self.cell_scale)
        return encoded

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``(b, 2)``. Each distinct drug and cell line of the batch is encoded once."""
        drugs, places = distinct(torch.stack([batch["first"], batch["second"]]))
        lines, cells = distinct(batch["cell"])
        first, second = self.encode_drugs(drugs)[places]
        cell = self.encode_cells(lines)[cells]
        logits: Tensor = self.head(torch.cat([first, second, cell], dim=1))
        if self.shape.symmetric:
            logits = (logits + self.head(torch.cat([second, first, cell], dim=1))) / 2
        return logits

    def training_step(self, batch: Batch, _number: int) -> Tensor:
        """Cross-entropy of the two classes."""
        loss = nn.functional.cross_entropy(self(batch), batch["synergy"])
        self.log("training_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch["cell"]))
        return loss

    def validation_step(self, batch: Batch, _number: int) -> None:
        """Loss and area under the ROC curve over all validation rows."""
        logits = self(batch)
        loss = nn.functional.cross_entropy(logits, batch["synergy"])
        self.area.update(logits.softmax(1)[:, 1], batch["synergy"])
        size = len(batch["cell"])
        self.log("validation_loss", loss, batch_size=size, sync_dist=True)
        self.log("validation_auroc", self.area, on_epoch=True, on_step=False, batch_size=size)

    def configure_optimizers(self) -> Any:
        """Adam with the schedule, a step an epoch."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.schedule.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule.factor)
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def _layers(widths: list[int], dropout: float, *, bare_end: bool = False) -> nn.Sequential:
    """Linear, ReLU and dropout at each step between widths; no ReLU at the end where it is bare."""
    layers: list[nn.Module] = []
    for step, (one, other) in enumerate(pairwise(widths), 1):
        layers.append(nn.Linear(one, other))
        if step < len(widths) - 1 or not bare_end:
            layers.append(nn.ReLU())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)
