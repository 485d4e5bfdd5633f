"""The network: GEARS, and the head of scLong, which is GEARS with other vectors of genes.

Source: GEARS (Roohani et al. 2023), in the older version that the scLong authors built upon: a gene
that is perturbed is marked in the cell itself, too. GEARS learns a vector a gene; scLong's head
takes gene representations of the control cell that a prediction starts from. Everything else is
one network. In GEARS a predicted change depends on the perturbed genes alone: each distinct
condition of a batch is computed once, and counts in batch normalisation as often as it has cells.

Where GEARS's code lets the co-expression graph reach the first cell of a batch alone, it reaches
all cells here.

The loss is GEARS's (Methods of that paper; the scLong paper uses the same): large errors weigh more
(autofocus), and a change in the wrong direction counts. A sign has no gradient, so that the part
about direction changes what is logged and nothing that is learnt.

Shapes: b cells, k distinct conditions of them, or all where each cell counts by itself, g genes, n
genes that may be perturbed (the g measured ones first), h width.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch_geometric.nn import SGConv
from torchmetrics import Metric

from sclong_core.errors import ConfigError
from sclong_core.graph import GeneGraph
from sclong_tasks.batches import Batch

EXPONENT = 4.0
"""2 + gamma with gamma = 2."""
DIRECTION = 0.1
"""Weight of the part about direction."""


def autofocus(
    predicted_bg: Tensor, true_bg: Tensor, kept_bg: Tensor, exponent: float = EXPONENT
) -> Tensor:
    """``(b,)`` mean over kept genes of the error to a power."""
    return _mean_over_genes((predicted_bg - true_bg).abs() ** exponent, kept_bg)


def direction(predicted_bg: Tensor, true_bg: Tensor, control_g: Tensor, kept_bg: Tensor) -> Tensor:
    """``(b,)`` mean over kept genes of the squared difference of signs of change: 0, 1 or 4.

    Args:
        predicted_bg: expression.
        true_bg: the same.
        control_g: mean of all control cells, which both are compared to. The paper prints the cell
            that a prediction starts from instead.
        kept_bg: genes that count in each cell.
    """
    signs = torch.sign(true_bg - control_g) - torch.sign(predicted_bg - control_g)
    return _mean_over_genes(signs**2, kept_bg)


def mean_over_conditions(values_b: Tensor, condition_b: Tensor) -> Tensor:
    """The mean over conditions of their means over cells: a condition counts once."""
    _, place_b, cells = torch.unique(condition_b, return_inverse=True, return_counts=True)
    mean: Tensor = (values_b / cells[place_b]).sum() / len(cells)
    return mean


def gears_loss(
    predicted_bg: Tensor,
    true_bg: Tensor,
    condition_b: Tensor,
    kept_bg: Tensor,
    control_g: Tensor,
    *,
    exponent: float = EXPONENT,
    weight: float = DIRECTION,
) -> Tensor:
    """Autofocus and direction, the mean over the conditions of a batch.

    Args:
        predicted_bg: expression.
        true_bg: the same.
        condition_b: number of each cell's condition.
        kept_bg: genes that count: those that are not zero in all cells of the condition.
        control_g: mean of all control cells.
        exponent: of errors.
        weight: of the part about direction.
    """
    values_b = autofocus(predicted_bg, true_bg, kept_bg, exponent)
    if weight:
        values_b = values_b + weight * direction(predicted_bg, true_bg, control_g, kept_bg)
    return mean_over_conditions(values_b, condition_b)


def _mean_over_genes(values_bg: Tensor, kept_bg: Tensor) -> Tensor:
    weights_bg = kept_bg.to(values_bg.dtype)
    return (values_bg * weights_bg).sum(1) / weights_bg.sum(1).clamp(min=1)


_POSITION_SHARE = 0.2
"""Of the co-expression part in a gene's vector."""


@dataclass
class NetworkShape:
    """Widths and graphs; the defaults are GEARS's."""

    hidden: int = 64
    """Width."""
    neighbours: int = 20
    """Most similar genes of each gene, in both graphs."""
    coexpression: float = 0.4
    """Least absolute correlation of genes that are joined."""
    annotations: float = 0.1
    """Least Jaccard index of the terms of genes that are joined."""

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.neighbours < 1:
            raise ConfigError("model.shape.hidden and neighbours must be at least 1")
        if not (0 <= self.coexpression < 1 and 0 <= self.annotations < 1):
            raise ConfigError("model.shape.coexpression and annotations must be 0 to below 1")


@dataclass
class Optimisation:
    """Loss, and what Adam is told beside the learning rate."""

    weight_decay: float = 5e-4
    """Of Adam, added to gradients."""
    decay: float = 0.5
    """The learning rate is multiplied by it after each epoch."""
    clip: float = 1.0
    """Largest absolute value of a gradient; 0 does not clip."""
    exponent: float = EXPONENT
    """Of errors."""
    direction: float = DIRECTION
    """Weight of wrong directions, which have no gradient."""

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1 or min(self.weight_decay, self.clip, self.direction) < 0:
            raise ConfigError(
                "model.optimisation: decay lies between 0 and 1, nothing else is negative"
            )
        if self.exponent < 1:
            raise ConfigError("model.optimisation.exponent must be at least 1")


class PerturbationModule(LightningModule):
    """Change of expression by perturbed genes.

    Args:
        genes: gives vectors of genes for control cells, ``(1, g, h)`` where they are the same in
            all.
        measured: g.
        graph: of the n genes that may be perturbed.
        hidden: h.
        optimisation: loss and optimiser.
        learning_rate: of Adam.
    """

    kept: Tensor
    control: Tensor

    def __init__(  # settings of a user, each by its name
        self,
        genes: "LearntGenes | RepresentedGenes",
        measured: int,
        graph: GeneGraph,
        hidden: int,
        optimisation: Optimisation,
        learning_rate: float = 1e-3,
    ) -> None:
        super().__init__()
        self.optimisation, self.learning_rate = optimisation, learning_rate
        self.measured = measured
        self.genes = genes
        self.perturbations = Perturbations(graph, hidden)
        self.flag = nn.Linear(1, hidden)
        self.combine = nn.ModuleList([Norm(hidden), Norm(hidden)])
        self.decoder = Decoder(measured, hidden)
        self.register_buffer("kept", torch.empty(0, measured), persistent=False)
        self.register_buffer("control", torch.zeros(measured), persistent=False)
        self.error: ConditionError | None = None

    def learn_from(self, kept: npt.NDArray[np.bool_], control: npt.NDArray[np.float64]) -> None:
        """What the loss rests on beside the cells.

        Args:
            kept: ``(conditions + 1, g)`` genes that count in each training condition, the
                control's last.
            control: ``(g,)`` mean of all control cells.
        """
        self.kept = torch.from_numpy(kept)
        self.control = torch.from_numpy(control.astype(np.float32))

    def forward(self, batch: Batch) -> Tensor:
        """``(b, g)`` change against the control cell, from ``control`` and ``targets`` (b, 2)."""
        if not self.genes.shared:
            return self._changes(batch["control"], batch["targets"], None)
        targets, place, cells = torch.unique(
            batch["targets"], dim=0, return_inverse=True, return_counts=True
        )
        return self._changes(batch["control"], targets, cells)[place]

    def _changes(self, control: Tensor, targets: Tensor, cells: Tensor | None) -> Tensor:
        """``(k, g)``; ``cells`` ``(k,)`` says how often each counts."""
        effect = self.perturbations(targets, cells)[:, None] + self.flag.bias
        combined = self.genes(control) + effect
        row, place = torch.where((targets >= 0) & (targets < self.measured))
        mark = self.flag.weight[:, 0].to(combined.dtype).expand(len(row), -1)
        combined = combined.index_put((row, targets[row, place]), mark, accumulate=True)
        for norm in self.combine:
            combined = torch.relu(norm(combined, cells))
        change: Tensor = self.decoder(combined, cells)
        return change

    def training_step(self, batch: Batch, _number: int) -> Tensor:
        """GEARS's loss."""
        loss = gears_loss(
            batch["x"] + self(batch),
            batch["y"],
            batch["condition"],
            self.kept[batch["condition"]],
            self.control,
            exponent=self.optimisation.exponent,
            weight=self.optimisation.direction,
        )
        size = len(batch["condition"])
        self.log("training_loss", loss, on_epoch=True, on_step=False, batch_size=size)
        return loss

    def validation_step(self, batch: Batch, _number: int) -> None:
        """Error of condition means over their highest ranked genes, in the end."""
        assert self.error is not None
        self.error.update(self(batch), batch["condition"])
        size = len(batch["condition"])
        self.log("validation_mse_de", self.error, on_epoch=True, on_step=False, batch_size=size)

    def configure_optimizers(self) -> Any:
        """Adam, its rate multiplied by ``decay`` after each epoch."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(
            trained, lr=self.learning_rate, weight_decay=self.optimisation.weight_decay
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, self.optimisation.decay)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,  # noqa: ARG002  # Lightning's form
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002
    ) -> None:
        """Each value by itself."""
        if self.optimisation.clip:
            self.clip_gradients(optimizer, self.optimisation.clip, "value")


class LearntGenes(nn.Module):
    """GEARS's vectors of genes: one learnt, one convolved over the co-expression graph."""

    shared = True
    """The same in all cells."""
    edges: Tensor
    weights: Tensor

    def __init__(self, graph: GeneGraph, hidden: int) -> None:
        super().__init__()
        self.own = nn.Embedding(graph.genes, hidden, max_norm=1.0)
        self.position = nn.Embedding(graph.genes, hidden, max_norm=1.0)
        self.convolution = SGConv(hidden, hidden, K=1)
        self.norm = Norm(hidden)
        self.mix = Layers([hidden, hidden, hidden], relu=True)
        _set_graph(self, graph)

    def forward(self, control: Tensor) -> Tensor:
        """``(1, g, h)``, whatever the cells."""
        every = torch.arange(self.own.num_embeddings, device=control.device)
        position = self.convolution(self.position(every), self.edges, self.weights)
        own = torch.relu(self.norm(self.own(every)))
        mixed: Tensor = self.mix(own + _POSITION_SHARE * position)
        return mixed[None]


class RepresentedGenes(nn.Module):
    """Gene representations of control cells, which stay as they are, brought to the width.

    Args:
        values: ``(cells, g, dim)``, may lie on disk; or ``(g, dim)``, the same in all cells.
        hidden: h.
        cells: numbers of the control cells that the first axis is of, ascending.
    """

    def __init__(  # settings of a user, each by its name
        self, values: npt.NDArray[np.float32], hidden: int, cells: npt.NDArray[np.int64]
    ) -> None:
        super().__init__()
        self.values, self.cells = values, cells
        self.shared = values.ndim == 2
        self.project = nn.Sequential(nn.Linear(values.shape[-1], hidden), Norm(hidden), nn.ReLU())

    def forward(self, control: Tensor) -> Tensor:
        """``(b, g, h)``, or ``(1, g, h)``."""
        if self.shared:
            found = np.array(self.values[None])
        else:
            found = self.values[np.searchsorted(self.cells, control.cpu().numpy())]
        projected: Tensor = self.project(torch.from_numpy(found).to(control.device))
        return projected


class Perturbations(nn.Module):
    """Vectors of perturbed genes, convolved over the graph of annotations, summed and mixed."""

    edges: Tensor
    weights: Tensor

    def __init__(self, graph: GeneGraph, hidden: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(graph.genes, hidden, max_norm=1.0)
        self.convolution = SGConv(hidden, hidden, K=1)
        self.mix = Layers([hidden, hidden, hidden], relu=True)
        _set_graph(self, graph)

    def forward(self, targets: Tensor, cells: Tensor | None) -> Tensor:
        """Genes ``(k, 2)``, -1 for none, to ``(k, h)``; zero where none is perturbed."""
        every = torch.arange(self.vectors.num_embeddings, device=targets.device)
        genes = self.convolution(self.vectors(every), self.edges, self.weights)
        genes = torch.cat([genes, genes.new_zeros(1, genes.shape[1])])
        summed = genes[targets].sum(1)
        perturbed = torch.where((targets >= 0).any(1))[0]
        if not len(perturbed):
            return torch.zeros_like(summed)
        mixed = self.mix(summed[perturbed], None if cells is None else cells[perturbed])
        return torch.zeros_like(summed).index_put((perturbed,), mixed)


class Decoder(nn.Module):
    """From vectors to a change: layers shared by genes, weights of each gene, all genes together.

    Its last step is a product of matrices: the vector of all genes is not repeated for each.
    """

    def __init__(self, genes: int, hidden: int) -> None:
        super().__init__()
        self.shared = Layers([hidden, 2 * hidden, hidden])
        # Shapes as in the original: initial weights depend on them.
        self.weight_1 = nn.Parameter(torch.empty(genes, hidden, 1))
        self.bias_1 = nn.Parameter(torch.empty(genes, 1))
        self.together = Layers([genes, hidden, hidden])
        self.weight_2 = nn.Parameter(torch.empty(1, genes, hidden + 1))
        self.bias_2 = nn.Parameter(torch.empty(1, genes))
        for one in (self.weight_1, self.bias_1, self.weight_2, self.bias_2):
            nn.init.xavier_normal_(one)

    def forward(self, combined: Tensor, cells: Tensor | None) -> Tensor:
        """``(k, g, h)`` to ``(k, g)``."""
        own = torch.einsum("kgh,gh->kg", self.shared(combined, cells), self.weight_1[:, :, 0])
        own = own + self.bias_1[:, 0]
        weight, together = self.weight_2[0], self.together(own, cells)
        change: Tensor = own * weight[:, 0] + together @ weight[:, 1:].T + self.bias_2
        return change


class Layers(nn.Module):
    """Linear, normalisation and ReLU at each step; the last ReLU only where it is asked for."""

    def __init__(self, widths: list[int], *, relu: bool = False) -> None:
        super().__init__()
        self.linear = nn.ModuleList(nn.Linear(one, other) for one, other in pairwise(widths))
        self.norms = nn.ModuleList(Norm(width) for width in widths[1:])
        self.relu = relu

    def forward(self, x: Tensor, cells: Tensor | None = None) -> Tensor:
        """``(k, ..., in)`` to ``(k, ..., out)``."""
        for step, (linear, norm) in enumerate(zip(self.linear, self.norms, strict=True), 1):
            x = norm(linear(x), cells)
            if self.relu or step < len(self.linear):
                x = torch.relu(x)
        return x


class Norm(nn.BatchNorm1d):
    """Batch normalisation of the last axis, in which a row may stand for many.

    A single row is normalised by what was learnt.
    """

    def forward(self, input: Tensor, cells: Tensor | None = None) -> Tensor:  # noqa: A002  # torch's name
        """Normalise ``(k, ..., h)``; ``cells`` ``(k,)`` says how often each counts."""
        rows = input.reshape(-1, input.shape[-1])
        if self.training and len(rows) < 2:
            found = nn.functional.batch_norm(
                rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        elif self.training and cells is not None:
            found = self._counted(rows, cells.repeat_interleave(len(rows) // len(cells)))
        else:
            found = super().forward(rows)
        return found.view(input.shape)

    def _counted(self, rows: Tensor, cells: Tensor) -> Tensor:
        total = cells.sum()
        share = (cells / total).to(rows.dtype)
        mean = share @ rows
        centred = rows - mean
        variance = share @ centred**2
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            # As torch has it: the variance that is remembered is that of a sample.
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (total / (total - 1)), self.momentum)
        return centred * (self.weight * torch.rsqrt(variance + self.eps)) + self.bias


class ConditionError(Metric):
    """Squared error of the mean change of conditions over their own genes, the mean over them.

    Args:
        change: ``(conditions, g)`` true mean change against the mean of all control cells.
        genes: ``(conditions, k)`` genes that each is measured on.
    """

    full_state_update = False
    change: Tensor
    genes: Tensor
    total: Tensor
    cells: Tensor

    def __init__(self, change: npt.NDArray[np.float64], genes: npt.NDArray[np.int64]) -> None:
        super().__init__()
        self.register_buffer("change", torch.from_numpy(change).float(), persistent=False)
        self.register_buffer("genes", torch.from_numpy(genes), persistent=False)
        self.add_state("total", torch.zeros(change.shape), dist_reduce_fx="sum")
        self.add_state("cells", torch.zeros(len(change)), dist_reduce_fx="sum")

    def update(self, change: Tensor, condition: Tensor) -> None:
        """Predicted changes of cells."""
        self.total.index_add_(0, condition, change.to(self.total.dtype))
        self.cells.index_add_(0, condition, torch.ones_like(change[:, 0], dtype=self.cells.dtype))

    def compute(self) -> Tensor:
        """The mean."""
        error = (self.total / self.cells[:, None] - self.change).gather(1, self.genes)
        return (error**2).mean(1).mean()


def _set_graph(module: nn.Module, graph: GeneGraph) -> None:
    """Edges as buffers; the convolution adds edges to themselves where they are missing."""
    module.register_buffer("edges", torch.from_numpy(np.array(graph.edge_index)), persistent=False)
    weights = torch.from_numpy(np.array(graph.edge_weight))
    module.register_buffer("weights", weights, persistent=False)
