"""Training a student with Lightning: losses, optimiser, and batches that can be repeated."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from sclong_core.distillation.cells import Floats, TaughtCells
from sclong_core.distillation.start import start_map, start_tables
from sclong_core.distillation.views import WHOLE, View, ViewOptions, draw_view
from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.model import Student

EPOCH = 100
"""Steps after which a checkpoint is written: what an interruption loses at most."""
_PART = 256
_SHRINKAGE = 0.1
_TEMPERATURE = 0.1
_FAR = 1e4
"""Taken from the cosine of a cell to itself, which is not compared."""


@dataclass(frozen=True)
class DistillOptions:
    """How a student is trained."""

    steps: int = 1_000
    batch_size: int = 128
    learning_rate: float = 1e-3
    table_rate: float = 0.1
    """Rate of the tables of genes as a share of that: what a teacher knows of rare genes stays."""
    weight_decay: float = 0.01
    neighbours: float = 1.0
    """Weight of the loss on cosines between cells."""
    values: float = 1.0
    """Weight of the loss on single dimensions."""
    seed: int = 0
    views: ViewOptions = field(default_factory=ViewOptions)

    def __post_init__(self) -> None:
        """Refuse numbers that are not positive."""
        for name in ("steps", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")


class Whitening(NamedTuple):
    """Vectors around their mean, without the directions that all cells share."""

    centre: Tensor
    """``(width,)``."""
    encoding: Tensor
    """``(width, width)``: from a centred vector to a whitened one."""
    decoding: Tensor
    """Its inverse."""
    scale: Tensor
    """``(width,)``: standard deviation of each dimension."""

    @classmethod
    def of(cls, vectors: Floats) -> Self:
        """By the covariance of some vectors, shrunk towards its mean variance."""
        values = torch.from_numpy(vectors).double()
        centre = values.mean(0)
        covariance = torch.cov(values.T) if len(values) > 1 else torch.eye(len(centre)).double()
        level = covariance.diagonal().mean().clamp(min=1e-12)
        shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * level * torch.eye(len(centre))
        size, axes = torch.linalg.eigh(shrunk)
        encoding = axes @ (size**-0.5).diag() @ axes.T
        decoding = axes @ (size**0.5).diag() @ axes.T
        scale = covariance.diagonal().clamp(min=1e-4 * level).sqrt()
        return cls(centre.float(), encoding.float(), decoding.float(), scale.float())


class Distillation(lightning.LightningModule):
    """A student and what it is taught.

    Args:
        student: to train.
        taught: cells with their teacher's vectors.
        options: of training.
        work: what is trained from what; a checkpoint of other work is refused.
    """

    def __init__(
        self, student: Student, taught: TaughtCells, options: DistillOptions, work: dict[str, Any]
    ) -> None:
        super().__init__()
        self.network = student.network
        self._taught, self._options, self._work = taught, options, work
        self._input = student.config.input
        white = Whitening.of(taught.targets[taught.training])
        self._encoding, self._scale = white.encoding, white.scale
        mean, square, rate = map(torch.from_numpy, taught.moments())
        self._square = square
        with torch.no_grad():
            self.network.mean.copy_(mean)
            self.network.rate.copy_(rate)
            self.network.centre.copy_(white.centre)
            self.network.decoding.copy_(white.decoding)

    @torch.no_grad()
    def start(self, gene_vectors: Tensor, cells: int = 4_096) -> None:
        """Start from a teacher's gene vectors and the linear map of their sums that fits best."""
        start_tables(self.network, gene_vectors, self._square)
        random = np.random.default_rng((self._options.seed, self._options.steps))
        training, shares = self._taught.training, self._taught.shares()
        chosen = random.choice(training, min(cells, len(training)), replace=False, p=shares)
        parts = np.array_split(chosen, -(-len(chosen) // _PART))
        views = [
            draw_view(self._taught, part, self._options.views, self.target_sum, random)
            for part in parts
        ]
        aims = [(view.target - self.network.centre) @ self._encoding for view in views]
        start_map(self.network, views, aims, self._taught.source[chosen])

    def forward(self, view: View) -> Tensor:
        """Whitened vectors of the cells of a view."""
        expected = self.network.expected(view.measured)[view.set_of]
        found: Tensor = self.network(view.cells, expected)
        return found

    def training_step(self, view: View, _number: int) -> Tensor:
        """One minus cosine of whitened vectors, cosines between cells, and each dimension."""
        white = self(view)
        target = view.target
        aim = (target - self.network.centre) @ self._encoding.to(target.device)
        direction = (1 - functional.cosine_similarity(white, aim, dim=1)).mean()
        found = self.network.decode(white)
        neighbours = _cosine_divergence(found, target)
        scale = self._scale.to(target.device)
        values = functional.huber_loss(found / scale, target / scale)
        loss = direction + self._options.neighbours * neighbours + self._options.values * values
        self.log_dict(
            {"loss": loss, "direction": direction, "neighbours": neighbours, "values": values},
            on_step=False,
            on_epoch=True,
            batch_size=len(target),
        )
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW; the rate rises over a twentieth of the steps and falls by a cosine."""
        options, network = self._options, self.network
        tables: list[Tensor] = [network.by_value, network.by_presence]
        rest = [value for name, value in network.named_parameters() if not name.startswith("by_")]
        groups: list[dict[str, Any]] = [
            {"params": rest},
            {"params": tables, "lr": options.learning_rate * options.table_rate},
        ]
        optimiser = torch.optim.AdamW(
            groups,
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
        )
        rising = max(1, options.steps // 20)

        def rate(step: int) -> float:
            done = min(1.0, step / options.steps)
            return min(1.0, (step + 1) / rising) * (0.5 + 0.5 * math.cos(math.pi * done))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def train_dataloader(self) -> DataLoader[View]:
        """The batches of the next steps: the same however often training was interrupted."""
        first = self.trainer.global_step
        steps = range(first, min(first + EPOCH, self._options.steps))
        return DataLoader(
            _Steps(self._taught, self._options, self.target_sum, steps), batch_size=None
        )

    @property
    def target_sum(self) -> float | None:
        """That counts are scaled to; None where that does not say what counts were."""
        return self._input.target_sum if self._input.maximum is None else None

    @torch.no_grad()
    def held_out_cosine(self, options: ViewOptions = WHOLE) -> float:
        """Mean cosine with the teacher's vectors of cells that were not trained with.

        Both are taken around the mean vector: those of many models have one direction in common.
        """
        cells, random = self._taught.held_out, np.random.default_rng(self._options.seed)
        cosines = []
        for start in range(0, len(cells), self._options.batch_size):
            chosen = cells[start : start + self._options.batch_size]
            view = draw_view(self._taught, chosen, options, self.target_sum, random)
            found, aim = self(view) @ self.network.decoding, view.target - self.network.centre
            cosines.append(functional.cosine_similarity(found, aim, dim=1))
        return float(torch.cat(cosines).mean())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note what is trained from what."""
        checkpoint["distillation"] = self._work

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of other work."""
        if checkpoint.get("distillation") != self._work:
            raise CheckpointError(
                "unfinished training is of another teacher, other cells or other settings: repeat "
                "what was asked for then, or start again without --resume"
            )


def _cosine_divergence(found: Tensor, target: Tensor) -> Tensor:
    """How much the cosines of each cell to the others, as shares, differ from the teacher's."""
    shares = []
    for vectors in (found, target):
        unit = functional.normalize(vectors, dim=1)
        itself = _FAR * torch.eye(len(unit), device=unit.device)
        shares.append(functional.log_softmax(unit @ unit.T / _TEMPERATURE - itself, dim=1))
    return functional.kl_div(shares[0], shares[1], reduction="batchmean", log_target=True)


class _Steps(Dataset[View]):
    """The batches of some steps, each drawn from the seed and the number of its step."""

    def __init__(
        self,
        taught: TaughtCells,
        options: DistillOptions,
        target_sum: float | None,
        steps: range,
    ) -> None:
        self._taught, self._options, self._target_sum = taught, options, target_sum
        self._steps, self._cells, self._shares = steps, taught.training, taught.shares()

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, number: int) -> View:
        options = self._options
        random = np.random.default_rng((options.seed, self._steps[number]))
        count = min(options.batch_size, len(self._cells))
        chosen = np.sort(random.choice(self._cells, count, replace=False, p=self._shares))
        return draw_view(self._taught, chosen, options.views, self._target_sum, random)
