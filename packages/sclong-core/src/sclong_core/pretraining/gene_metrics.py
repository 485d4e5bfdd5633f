"""How well hidden genes of held-out cells are told: value and detection, from two places."""

import torch
from torch import Tensor
from torchmetrics.classification import BinaryAUROC

from sclong_core.model import ScLong
from sclong_core.pretraining.corruption import Damaged, choose_hidden
from sclong_core.pretraining.metrics import MaskedRegression
from sclong_core.pretraining.objective import predict

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
        """Figures by their name in the log, over all ranks; then start anew."""
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
