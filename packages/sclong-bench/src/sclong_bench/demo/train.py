"""Pretraining of the demonstration, with the trainer that every pretraining uses."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sclong_bench.demo.data import DemoData
from sclong_bench.demo.settings import DemoSettings
from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO
from sclong_core.pretraining.config import NetworkConfig, PerformerOverrides
from sclong_core.pretraining.data import AnnDataModule
from sclong_core.pretraining.datamodule import PretrainingData
from sclong_core.pretraining.export import ExportModel
from sclong_core.pretraining.masking import MaskingConfig
from sclong_core.pretraining.module import ScLongPretraining
from sclong_core.pretraining.schedule import ScheduleConfig
from sclong_core.quiet import quiet_lightning

_WARMUP = 0.05
_LOWEST_RATE = 0.02
_GRADIENT_NORM = 1.0
_WINDOWS = 7
"""Points of the training curve in an epoch."""


@dataclass(frozen=True)
class Training:
    """What came of pretraining."""

    model_folder: Path
    """The checkpoint."""
    steps: int
    """Steps of the optimiser."""
    parameters: int
    """Of the model."""
    training_loss: tuple[tuple[float, float], ...]
    """(epoch, mean loss since the last point)."""
    held_out_loss: tuple[tuple[float, float], ...]
    """(epoch, loss over all held-out cells)."""


class StratifiedCells(AnnDataModule):
    """The cells of a file, split as the demonstration has split them.

    Args:
        data: the split.
        path: the file of these cells.
        settings: batch size, masking and seed.
    """

    def __init__(self, data: DemoData, path: Path, settings: DemoSettings) -> None:
        super().__init__(
            path,
            path.with_name("vocabulary.tsv"),
            normalisation="log1p",
            masking=masking(settings),
            validation_fraction=settings.held_out,
            batch_size=settings.batch_size,
            seed=settings.seed,
        )
        self._training = data.training

    def setup(self, stage: str) -> None:  # Lightning gives it
        """Read and check the cells, and put the demonstration's split in place."""
        super().setup(stage)
        self.training_cells = np.flatnonzero(self._training)
        self.validation_cells = np.flatnonzero(~self._training)
        self.gene_means = self._mean_of_genes()

    def describe(self) -> dict[str, Any]:
        """What was read, without the place of the file: equal runs write equal checkpoints."""
        return {**super().describe(), "source": Path(self.path).name, "split": "by cell type"}


def masking(settings: DemoSettings) -> MaskingConfig:
    """As the release: in training a tenth of the scored values stays visible; held out, none."""
    return MaskingConfig(ratio=settings.masked, seed=settings.seed)


def network(settings: DemoSettings) -> NetworkConfig:
    """The preset, of the depth of the demonstration."""
    depth = PerformerOverrides(depth=settings.depth)
    return NetworkConfig(preset=settings.preset, large=depth, mini=depth, full=depth)


def pretrain(
    data: DemoData, folder: Path, settings: DemoSettings, advance: Callable[[], None]
) -> Training:
    """Pretrain a new model on the training cells in ``folder``, and write it to ``model/`` there.

    Args:
        data: whose files are in ``folder``.
        folder: where :func:`~sclong_bench.demo.data.write_data` wrote.
        settings: of the run.
        advance: called after each step.

    Raises:
        KeyboardInterrupt: someone stopped it; Lightning itself would leave the interpreter.
    """
    cells = StratifiedCells(data, folder / "cells.h5ad", settings)
    steps = settings.epochs * steps_per_epoch(data, settings)
    module = ScLongPretraining(
        cells.vocabulary,
        network(settings),
        input=cells.input,
        graph=folder / "graph.npz",
        gene_vectors=folder / "gene_vectors.npy",
        schedule=one_cycle(steps, settings.learning_rate),
        seed=settings.seed,
    )
    curves = Curves(steps_per_epoch(data, settings), advance)
    export = ExportModel(folder, settings.to_dict())
    trainer = fit(module, cells, folder, [curves, export], max_epochs=settings.epochs)
    return Training(
        model_folder=export.model_folder,
        steps=trainer.global_step,
        parameters=sum(parameter.numel() for parameter in module.model.parameters()),
        training_loss=tuple(curves.training),
        held_out_loss=tuple(curves.held_out),
    )


def fit(
    module: ScLongPretraining,
    cells: PretrainingData,
    folder: Path,
    callbacks: list[Callback],
    **length: int,
) -> Trainer:
    """Train on one CPU, with no files but those that callbacks leave.

    Args:
        module: to train.
        cells: to train on.
        folder: of the run.
        callbacks: of the Trainer.
        length: ``max_epochs`` or ``max_steps``.

    Raises:
        KeyboardInterrupt: someone stopped it; Lightning itself would leave the interpreter.
    """
    with quiet_lightning():
        trainer = Trainer(
            **length,  # type: ignore[arg-type]  # by name
            accelerator="cpu",
            devices=1,
            gradient_clip_val=_GRADIENT_NORM,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO(), LightningEnvironment()],
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(module, datamodule=cells)
        except SystemExit as error:
            raise KeyboardInterrupt from error
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return trainer


def steps_per_epoch(data: DemoData, settings: DemoSettings) -> int:
    """Whole batches of training cells."""
    return int(data.training.sum()) // settings.batch_size


def one_cycle(steps: int, learning_rate: float) -> ScheduleConfig:
    """A short linear rise to the rate, then half a cosine to the end of the run."""
    return ScheduleConfig(
        first_cycle=steps + 1,
        warmup=round(_WARMUP * steps),
        maximum=learning_rate,
        minimum=learning_rate * _LOWEST_RATE,
        interval="step",
    )


@dataclass
class Curves(Callback):
    """Loss of training and held-out cells over time, and progress."""

    steps_per_epoch: int
    advance: Callable[[], None]
    training: list[tuple[float, float]] = field(default_factory=list)
    held_out: list[tuple[float, float]] = field(default_factory=list)
    _window: list[float] = field(default_factory=list)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002  # Lightning calls hooks with all of them
        outputs: Any,
        batch: dict[str, Tensor],  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Average the loss over a window of steps."""
        self._window.append(float(outputs["loss"]))
        if len(self._window) >= max(1, self.steps_per_epoch // _WINDOWS):
            self.training.append((self._epoch(trainer), sum(self._window) / len(self._window)))
            self._window.clear()
        self.advance()

    def on_validation_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002  # as above
    ) -> None:
        """Keep the loss of held-out cells."""
        self.held_out.append((self._epoch(trainer), float(trainer.callback_metrics["val/loss"])))

    def _epoch(self, trainer: Trainer) -> float:
        return trainer.global_step / self.steps_per_epoch
