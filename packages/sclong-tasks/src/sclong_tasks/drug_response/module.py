"""The network: a graph network for drugs, the encoder's slot for cell lines, a convolutional head.

Source: DeepCDR (Liu et al. 2020), its expression branch alone, as the scLong paper uses it. Where
paper and released code differ, :class:`~sclong_tasks.drug_response.config.NetworkOptions` says how.
The output is linear: ln IC50 goes from -10 to 13, which the sigmoid that the paper names cannot
reach.

Shapes: b rows, d distinct drugs of the batch, a atoms of these drugs, f features of a cell line.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, global_add_pool, global_mean_pool
from torchmetrics.regression import PearsonCorrCoef

from sclong_tasks.batches import Batch
from sclong_tasks.chemistry.graphs import GraphTable, distinct
from sclong_tasks.drug_network import DrugModule
from sclong_tasks.drug_response.config import NetworkOptions
from sclong_tasks.encoders.slots import CellSlot


class DeepCdrModule(DrugModule):
    """ln IC50 of a drug in a cell line.

    Args:
        network: widths and rules.
        learning_rate: of Adam.
        graphs: of the drugs; may be replaced by other ones.
        cells: the encoder's slot; may be replaced too.
    """

    feature_mean: Tensor
    feature_scale: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(  # settings of a user, each by its name
        self, network: NetworkOptions, learning_rate: float, graphs: GraphTable, cells: CellSlot
    ) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.graphs, self.cells = graphs, cells
        self.drug = DrugBranch(network, graphs.x.shape[1])
        self.cell = nn.Sequential(
            nn.Linear(cells.dim, network.cell_hidden),
            nn.Tanh(),
            BatchNorm(network.cell_hidden),
            nn.Dropout(network.dropout),
            nn.Linear(network.cell_hidden, network.branch),
            nn.ReLU(),
        )
        joined = network.graph_layers[-1] + network.branch
        self.head: nn.Module = (
            ConvolutionalHead(joined, network.head_hidden, network.dropout)
            if network.head == "cnn"
            else _dense_head(joined, network.head_hidden, network.dropout)
        )
        self.register_buffer("feature_mean", torch.zeros(cells.dim))
        self.register_buffer("feature_scale", torch.ones(cells.dim))
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_scale", torch.ones(()))
        self.correlation = PearsonCorrCoef()

    @torch.no_grad()
    def scale_by(self, training_lines: Tensor, training_targets: Tensor) -> None:
        """Take mean and s.d. of features from these lines, those of the target from these rows."""
        features = self.cells(training_lines).flatten(1)
        self.feature_mean.copy_(features.mean(0))
        self.feature_scale.copy_(_scale(features.std(0, correction=0)))
        self.target_mean.copy_(training_targets.mean())
        self.target_scale.copy_(_scale(training_targets.std(correction=0)))

    def forward(self, batch: Batch) -> Tensor:
        """``(b,)`` ln IC50. Each distinct drug of the batch passes the graph network once."""
        drugs, places = distinct(batch["drug"])
        drug_bh = self.drug(*self.graphs(drugs), len(drugs))[places]
        features = self.cells(batch["line"]).flatten(1)
        cell_bh = self.cell((features - self.feature_mean) / self.feature_scale)
        scaled: Tensor = self.head(torch.cat([drug_bh, cell_bh], dim=1)).squeeze(1)
        return scaled * self.target_scale + self.target_mean

    def training_step(self, batch: Batch, _number: int) -> Tensor:
        """Mean squared error, on the scale that is trained on."""
        loss = self._loss(self(batch), batch)
        self.log("training_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch["drug"]))
        return loss

    def validation_step(self, batch: Batch, _number: int) -> None:
        """Loss, and Pearson over all validation rows."""
        predicted = self(batch)
        size = len(batch["drug"])
        self.correlation.update(predicted, batch["target"])
        self.log("validation_loss", self._loss(predicted, batch), batch_size=size, sync_dist=True)
        self.log(
            "validation_pearson", self.correlation, on_epoch=True, on_step=False, batch_size=size
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam at a constant rate."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(trained, lr=self.learning_rate, betas=(0.9, 0.999), eps=1e-8)

    def _loss(self, predicted: Tensor, batch: Batch) -> Tensor:
        return (((predicted - batch["target"]) / self.target_scale) ** 2).mean()


class DrugBranch(nn.Module):
    """Graph convolutions with normalised adjacency and self loops, then one vector a drug."""

    def __init__(self, network: NetworkOptions, features: int) -> None:
        super().__init__()
        widths = [features, *network.graph_layers]
        self.convolutions = nn.ModuleList(GCNConv(one, other) for one, other in pairwise(widths))
        self.norms = nn.ModuleList(BatchNorm(width) for width in network.graph_layers)
        self.dropout = nn.Dropout(network.dropout)
        self.padded_atoms, self.carried = network.padded_atoms, network.padding == "carried"

    def forward(self, x: Tensor, edges: Tensor, owner: Tensor, drugs: int) -> Tensor:
        """Atoms ``(a, features)`` to drugs ``(d, width)``."""
        if self.padded_atoms and self.carried:
            x, edges, owner = _padded(x, edges, owner, drugs, self.padded_atoms)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(norm(torch.relu(convolution(x, edges))))
        if self.padded_atoms and not self.carried:
            pooled: Tensor = global_add_pool(x, owner, size=drugs) / self.padded_atoms
        else:
            pooled = global_mean_pool(x, owner, size=drugs)
        return pooled


def _padded(
    x: Tensor, edges: Tensor, owner: Tensor, drugs: int, atoms: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The same graphs with atoms of zeros, joined to themselves alone, until each has ``atoms``.

    Drugs of more atoms get none.
    """
    counts = torch.bincount(owner, minlength=drugs)
    slots = counts.clamp(min=atoms)
    shift = (slots.cumsum(0) - slots) - (counts.cumsum(0) - counts)
    places = torch.arange(len(owner), device=owner.device) + shift[owner]
    padded = x.new_zeros(int(slots.sum()), x.shape[1])
    padded[places] = x
    every = torch.repeat_interleave(torch.arange(drugs, device=owner.device), slots)
    return padded, places[edges], every


class ConvolutionalHead(nn.Module):
    """A dense layer, whose outputs are read as a sequence by three convolutions with pooling."""

    def __init__(self, features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Dropout(dropout))
        first = hidden // 2
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, 30, first), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(30, 10, 5), nn.ReLU(), nn.MaxPool1d(3),
            nn.Conv1d(10, 5, 5), nn.ReLU(), nn.MaxPool1d(3),
            nn.Dropout(dropout), nn.Flatten(), nn.Dropout(2 * dropout),
        )  # fmt: skip
        with torch.no_grad():
            width = self.convolutions(torch.zeros(1, 1, hidden)).shape[1]
        self.out = nn.Linear(width, 1)

    def forward(self, joined: Tensor) -> Tensor:
        """``(b, features)`` to ``(b, 1)``."""
        out: Tensor = self.out(self.convolutions(self.dense(joined).unsqueeze(1)))
        return out


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that uses what it has learned where a batch has a single row."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """Normalise ``(rows, features)``."""
        if self.training and len(input) < 2:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


def _dense_head(features: int, hidden: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
    )


def _scale(spread: Tensor) -> Tensor:
    """The spread where there is any, else 1."""
    return torch.where(spread > 1e-6, spread, torch.ones_like(spread))
