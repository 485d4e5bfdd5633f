"""How well hidden values are reconstructed, beside what simple averages reach.

Sums are kept in float64 and added over ranks, so that the result neither depends on how the cells
are spread over batches and ranks, nor is an average of averages.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import BinaryAUROC

from sclong_core.model import ScLong
from sclong_core.pretraining.corruption import Damaged, choose_hidden
from sclong_core.pretraining.objective import predict


class Regression(NamedTuple):
    """Agreement of predictions with true values."""

    loss: Tensor
    """Mean squared error."""
    r2: Tensor
    """Coefficient of determination: 1 - squared error / squared deviation from the mean."""
    pearson: Tensor
    """Pearson correlation; NaN where either side does not vary."""


class MaskedRegression(Metric):
    """Mean squared error, R2 and Pearson correlation over the scored positions alone."""

    full_state_update = False
    sums: Tensor

    def __init__(self) -> None:
        """Start from nothing."""
        super().__init__()
        self.add_state("sums", torch.zeros(7, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, scored: Tensor) -> None:
        """Add the scored positions of a batch; three tensors of one shape."""
        p, y = prediction[scored].double(), target[scored].double()
        one = torch.ones_like(y).sum()
        self.sums += torch.stack(
            [
                one,
                y.sum(),
                (y * y).sum(),
                p.sum(),
                (p * p).sum(),
                (p * y).sum(),
                ((p - y) ** 2).sum(),
            ]
        )

    def compute(self) -> Regression:
        """The three figures over everything so far; NaN where nothing was scored."""
        n, y, yy, p, pp, py, error = self.sums
        varies_y, varies_p = yy - y * y / n, pp - p * p / n
        return Regression(
            loss=error / n,
            r2=1 - error / varies_y,
            pearson=(py - p * y / n) / (varies_y * varies_p).sqrt(),
        )


class BaselinePredictions(NamedTuple):
    """What averages predict for every gene of every cell, each ``(cells, genes)``."""

    gene_mean: Tensor
    """The gene's mean non-zero value in training."""
    cell_mean: Tensor
    """The mean of the cell's visible non-zero values."""
    gene_and_cell: Tensor
    """The gene's mean, shifted by how much the cell's visible values lie above those of their
    genes."""


def baseline_predictions(
    expression: Tensor, masked: Tensor, gene_means: Tensor
) -> BaselinePredictions:
    """Predictions from averages, none of which sees a hidden value.

    Args:
        expression: ``(cells, genes)`` true values.
        masked: boolean ``(cells, genes)``: hidden ones.
        gene_means: ``(genes,)`` mean non-zero value of each gene over training cells.
    """
    visible = (expression > 0) & ~masked
    count = visible.sum(1, keepdim=True).clamp(min=1)
    cell_mean = (expression * visible).sum(1, keepdim=True) / count
    gene_mean = gene_means.expand_as(expression)
    offset = cell_mean - (gene_mean * visible).sum(1, keepdim=True) / count
    return BaselinePredictions(gene_mean, cell_mean.expand_as(expression), gene_mean + offset)


class ValidationMetrics(torch.nn.Module):
    """The model's figures and those of the baselines, on the same positions."""

    def __init__(self) -> None:
        """One accumulator for the model and one for each baseline."""
        super().__init__()
        self.model = MaskedRegression()
        self.gene_mean = MaskedRegression()
        self.cell_mean = MaskedRegression()
        self.gene_and_cell = MaskedRegression()
        self.has_baselines = False

    @property
    def baselines(self) -> dict[str, MaskedRegression]:
        """The accumulators of the baselines by name."""
        return {name: getattr(self, name) for name in BaselinePredictions._fields}

    def update(
        self,
        reconstruction: Tensor,
        batch: dict[str, Tensor],
        gene_means: Tensor | None,
    ) -> None:
        """Add a batch; without gene means the baselines are left out."""
        expression, scored = batch["expression"], batch["scored"]
        self.model.update(reconstruction, expression, scored)
        self.has_baselines = gene_means is not None
        if gene_means is not None:
            predictions = baseline_predictions(expression, batch["masked"], gene_means)
            for name, prediction in predictions._asdict().items():
                self.baselines[name].update(prediction, expression, scored)

    def compute(self) -> dict[str, Tensor]:
        """Figures by their name in the log, over all ranks; then reset."""
        found: Regression = self.model.compute()
        values = {f"val/{name}": value.float() for name, value in found._asdict().items()}
        for name, metric in self.baselines.items():
            if self.has_baselines:
                values[f"val/r2_{name}"] = metric.compute().r2.float()
        for metric in (self.model, *self.baselines.values()):
            metric.reset()
        return values


_HIDDEN = 64
"""Genes of a cell that are hidden: half of them expressed. Of few variable genes, a quarter is."""
_THRESHOLDS = 201


class HiddenGeneMetrics(torch.nn.Module):
    """R2 of the values of expressed genes, and AUROC of which ones are expressed."""

    def __init__(self) -> None:
        """Start from nothing."""
        super().__init__()
        self.gene_value, self.cell_value = MaskedRegression(), MaskedRegression()
        self.gene_detection = BinaryAUROC(thresholds=_THRESHOLDS)
        self.cell_detection = BinaryAUROC(thresholds=_THRESHOLDS)

    def update(self, model: ScLong, expression: Tensor, measured: Tensor, *, seed: int) -> None:
        """Add whole cells ``(cells, genes)``; which genes are hidden depends on the seed alone."""
        generator = torch.Generator(expression.device).manual_seed(seed)
        variable = model.require_readout().variable
        values, known = expression[:, variable], measured[:, variable]
        count = max(2, min(_HIDDEN, values.shape[1] // 4))
        score = torch.rand(values.shape, generator=generator, device=expression.device)
        hidden = variable[choose_hidden(values > 0, known, count, score)]
        shown = measured.scatter(1, hidden, False)
        cells = Damaged(expression.masked_fill(~shown, 0), shown, hidden)
        target, counted = expression.gather(1, hidden), measured.gather(1, hidden)
        expressed = target > 0
        for one_by_one, value, detection in (
            (True, self.gene_value, self.gene_detection),
            (False, self.cell_value, self.cell_detection),
        ):
            found = predict(model, cells, hidden[0, :1], one_by_one=one_by_one).of_genes
            value.update(found.value, target, expressed & counted)
            detection.update(found.detection[counted], expressed[counted].long())

    def compute(self) -> dict[str, Tensor]:
        """Figures by their name in the log, over all ranks; then reset."""
        values = {}
        for name in ("gene", "cell"):
            value, detection = getattr(self, f"{name}_value"), getattr(self, f"{name}_detection")
            prefix = "val/" if name == "gene" else "val/cell_"
            found = value.compute()
            values[f"{prefix}loss"] = found.loss.float()
            values[f"{prefix}r2"] = found.r2.float()
            values[f"{prefix}detection_auroc"] = detection.compute().float()
            value.reset()
            detection.reset()
        return values
