"""What is trained: a head on vectors of cells, and the scLong below it where that is tuned.

A model that is tuned starts with a head that was trained on its frozen vectors: a random head would
first pull the model's weights about (Kumar et al. 2022, linear probing, then fine-tuning).

Shapes: b cells, g genes of the vocabulary, w width of vectors, l labels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningModule
from scipy import sparse
from torch import Tensor, nn
from torch.utils.data import Dataset

from sclong_core.embedding.pooling import OF_READOUT, Pool, pool_cells
from sclong_core.expression import PreparedCells
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress
from sclong_tasks.annotation.space import Space
from sclong_tasks.batches import Batch
from sclong_tasks.encoders.slots import LORA_TARGETS, add_lora

_BLOCK = 256
READOUT_TARGETS = tuple(
    f"readout.{name}" for name in ("sums", "entry", "body.0", "body.2", "vector")
)
"""Layers of a readout that adapters are added to, beside those of the attention."""


class Head(nn.Module):
    """Logits of labels from vectors: one linear layer, or two.

    Vectors are read as `sclong annotate` compares them, by their direction and by that along the
    axes that tell labels apart (:mod:`sclong_tasks.annotation.space`). Between studies lengths and
    spreads of vectors differ; a head on standardised vectors carried labels over worse.

    Args:
        width: w.
        axes: that tell labels apart.
        labels: l.
        hidden: width of a layer between; none where 0.
        dropout: share of the hidden layer that a training step leaves out.
    """

    centre: Tensor
    axes: Tensor

    def __init__(
        self, width: int, axes: int, labels: int, hidden: int = 0, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(width, axes))
        given = width + axes
        between = [nn.Linear(given, hidden), nn.ReLU(), nn.Dropout(dropout)] if hidden else []
        self.layers = nn.Sequential(*between, nn.Linear(hidden or given, labels))

    @classmethod
    def in_space(cls, space: Space, labels: int, hidden: int) -> "Head":
        """An untrained head of this space."""
        head = cls(len(space.axes), space.axes.shape[1], labels, hidden)
        head.centre.copy_(torch.from_numpy(space.centre))
        head.axes.copy_(torch.from_numpy(space.axes))
        return head

    def features(self, vectors: Tensor) -> Tensor:
        """``(b, w)`` to ``(b, w + axes)``: two directions, each of length 1."""
        around = vectors - self.centre
        halves = [around, around @ self.axes] if self.axes.shape[1] else [around]
        return torch.cat([nn.functional.normalize(half, dim=1) for half in halves], dim=1)

    def place(self, vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Features of vectors that are not trained."""
        with torch.inference_mode():
            found = self.features(torch.from_numpy(np.asarray(vectors, dtype=np.float32)))
        return np.asarray(found.numpy(), dtype=np.float64)

    def forward(self, vectors: Tensor) -> Tensor:
        """``(b, w)`` to ``(b, l)``."""
        logits: Tensor = self.layers(self.features(vectors))
        return logits


class CellEncoder(nn.Module):
    """An scLong that gives vectors of cells, as ``sclong embed`` does, with gradients.

    Args:
        model: in float32.
        pool: from genes to cells.
    """

    measured: Tensor

    def __init__(self, model: ScLong, pool: Pool) -> None:
        super().__init__()
        self.model, self.pool = model, pool
        every = torch.ones(model.config.genes, dtype=torch.bool)
        self.register_buffer("measured", every, persistent=False)

    def read(self, cells: PreparedCells) -> sparse.csr_array:
        """Expression ``(cells, g)``, and which genes these cells have."""
        self.measured.zero_()
        self.measured[torch.from_numpy(cells.match.positions)] = True
        starts = range(0, len(cells), _BLOCK)
        blocks = [cells.block(start, min(start + _BLOCK, len(cells))) for start in starts]
        return sparse.csr_array(sparse.vstack([sparse.csr_array(block) for block in blocks]))

    def forward(self, expression: Tensor) -> Tensor:
        """``(b, g)`` to ``(b, w)``."""
        if self.pool in OF_READOUT:
            found = self.model.cell_vectors(expression, self.measured)
            return found.embedding if self.pool == "cell" else found.components
        return pool_cells(self.model(expression), expression, self.pool)

    def tune(self, method: str, rank: int) -> None:
        """Let training change all weights ("full"), or adapters alone ("lora")."""
        if method == "full":
            self.model.requires_grad_(True)
            return
        readout = READOUT_TARGETS if self.pool in OF_READOUT else ()
        present = {name for name, _ in self.model.named_modules()}
        targets = [*LORA_TARGETS, *(name for name in readout if name in present)]
        add_lora(self.model, rank=rank, alpha=2 * rank, targets=targets)


class SparseCells(Dataset[Batch]):
    """Rows of a sparse matrix as dense batches, with labels.

    Args:
        expression: ``(cells, g)``.
        codes: ``(cells,)``.
    """

    def __init__(self, expression: sparse.csr_array, codes: npt.NDArray[np.int64]) -> None:
        self.expression, self.codes = expression, torch.from_numpy(codes)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """What a loader asks for: all rows of a batch together."""
        chosen = np.asarray(rows)
        dense = self.expression[chosen].toarray().astype(np.float32, copy=False)
        return {"x": torch.from_numpy(dense), "code": self.codes[chosen]}


class LabelModule(LightningModule):
    """A head, and the encoder below it where that is tuned.

    Args:
        head: on vectors.
        encoder: of cells; None where batches hold vectors.
        weights: ``(l,)`` of labels in the loss.
        learning_rate: of AdamW, for the head and for the encoder.
    """

    weights: Tensor

    def __init__(
        self,
        head: Head,
        encoder: CellEncoder | None,
        weights: Tensor,
        learning_rate: float,
    ) -> None:
        super().__init__()
        self.head, self.encoder, self.learning_rate = head, encoder, learning_rate
        self.register_buffer("weights", weights, persistent=False)

    def vectors(self, batch: Batch) -> Tensor:
        """``(b, w)``."""
        return batch["x"] if self.encoder is None else self.encoder(batch["x"])

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``(b, l)``."""
        logits: Tensor = self.head(self.vectors(batch))
        return logits

    def training_step(self, batch: Batch, _number: int) -> Tensor:
        """Cross-entropy, weighted by label."""
        return self._loss(batch, "training_loss")

    def validation_step(self, batch: Batch, _number: int) -> None:
        """What stops the training."""
        self._loss(batch, "validation_loss")

    def _loss(self, batch: Batch, name: str) -> Tensor:
        logits = self(batch)
        loss = nn.functional.cross_entropy(logits, batch["code"], self.weights)
        # A batch counts as much as its labels weigh, so that the mean is that over all cells.
        size = int(1000 * self.weights[batch["code"]].sum()) + 1
        self.log(name, loss, on_epoch=True, on_step=False, batch_size=size)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over what is trained; a head by itself is held small, as a ridge would."""
        trained = [one for one in self.parameters() if one.requires_grad]
        decay = 1.0 if self.encoder is None else 1e-2
        return torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=decay)


def run_encoder(
    encoder: CellEncoder,
    expression: sparse.csr_array,
    batch_size: int,
    device: torch.device,
    *,
    progress: bool = False,
) -> npt.NDArray[np.float32]:
    """Vectors ``(cells, w)``, in evaluation mode and without gradients."""
    encoder.to(device).eval()
    cells = expression.shape[0]
    found = np.empty((0, 0), dtype=np.float32)
    with torch.inference_mode(), cell_progress("embedding", cells, shown=progress) as advance:
        for start in range(0, cells, batch_size):
            dense = expression[start : start + batch_size].toarray().astype(np.float32, copy=False)
            vectors = encoder(torch.from_numpy(dense).to(device)).float().cpu().numpy()
            if not start:
                found = np.empty((cells, vectors.shape[1]), dtype=np.float32)
            found[start : start + len(vectors)] = vectors
            advance(len(vectors))
    return found
