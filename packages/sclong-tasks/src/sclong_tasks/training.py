"""Fitting of a LightningModule: early stopping, best weights, progress, one seed."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

from sclong_core.errors import ConfigError
from sclong_core.launcher import launched
from sclong_core.quiet import quiet_lightning
from sclong_tasks.task import RunContext

Batches = DataLoader[Any]


@dataclass
class TrainingOptions:
    """How long and how a network is trained; part of the options of neural models."""

    epochs: int = 100
    """At most."""
    batch_size: int = 64
    """Rows a step, over all devices of a process."""
    learning_rate: float = 1e-3
    """Of Adam."""
    patience: int = 10
    """Epochs without a better ``monitor`` before training stops; 0 trains all epochs and keeps
    the last weights."""
    monitor: str = "validation_loss"
    """What the module logs on the validation rows."""
    mode: str = "min"
    """Whether the least ("min") or the largest ("max") monitor is best."""
    gradient_norm: float = 0.0
    """Clip gradients to this norm; 0 does not clip."""
    accumulate: int = 1
    """Batches whose gradients, averaged, make one step."""
    devices: int = 1
    """Processes on this machine, one device each (DDP)."""

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise ConfigError(f"training.mode must be min or max, not {self.mode!r}")
        if min(self.epochs, self.batch_size, self.accumulate, self.devices) < 1:
            raise ConfigError("training.epochs, batch_size, accumulate and devices start at 1")
        if self.learning_rate <= 0 or self.patience < 0:
            raise ConfigError("training.learning_rate must be positive, patience not negative")


@dataclass
class Schedule:
    """Learning rate over epochs: up in a straight line, then down in one."""

    learning_rate: float = 1e-4
    """At its highest."""
    epochs: int = 100
    """Of the training."""
    warmup: int = 0
    """Epochs to reach it; none keeps it constant together with ``final`` 0."""
    final: float = 0.0
    """Rate of the last epoch; 0 does not come down."""

    def factor(self, epoch: int) -> float:
        """Share of the highest rate."""
        if epoch < self.warmup:
            return (epoch + 1) / self.warmup
        if not self.final:
            return 1.0
        way = (epoch - self.warmup) / max(1, self.epochs - self.warmup - 1)
        return 1.0 - min(1.0, way) * (1.0 - self.final / self.learning_rate)


@dataclass(frozen=True)
class Fit:
    """What came of training."""

    epochs: int
    """That ran."""
    best_epoch: int
    """Whose weights were kept, counted from 1."""
    best: float
    """Its monitor; NaN without validation rows."""
    history: list[dict[str, float]]
    """What was logged after each epoch."""

    def describe(self) -> dict[str, Any]:
        """For the record."""
        best = None if math.isnan(self.best) else self.best
        return {"epochs": self.epochs, "best_epoch": self.best_epoch, "best_monitor": best}


def fit_module(
    module: LightningModule,
    training: Batches,
    validation: Batches | None,
    options: TrainingOptions,
    context: RunContext,
) -> Fit:
    """Train, and leave the best weights in ``module``.

    The module logs ``options.monitor`` for whole epochs. Nothing random outside is touched: torch's
    global generator is seeded inside and put back. Loaders that shuffle need generators of
    their own.

    Args:
        module: to train; on the CPU again afterwards.
        training: batches of training rows.
        validation: batches that decide when to stop, or None to train all epochs.
        options: of the training.
        context: seed, device, progress, and a scratch folder.

    Raises:
        KeyboardInterrupt: someone stopped it; Lightning itself would leave the interpreter.
    """
    selects = validation is not None and options.patience > 0
    weights = _BestWeights(options, context.scratch) if selects else None
    curve = _Curve(context.scratch)
    callbacks: list[Callback] = [curve]
    if weights is not None:
        stop = EarlyStopping(
            options.monitor, mode=options.mode, patience=options.patience, check_finite=True
        )
        callbacks += [weights, stop]
    if context.progress:
        callbacks.append(_progress_bar())
    with seeded(context.seed), quiet_lightning():
        trainer = Trainer(
            max_epochs=options.epochs,
            callbacks=callbacks,
            logger=CSVLogger(str(context.scratch), name="training"),
            default_root_dir=str(context.scratch),
            **_where(options, context),
            gradient_clip_val=options.gradient_norm or None,
            accumulate_grad_batches=options.accumulate,
            enable_checkpointing=False,
            enable_progress_bar=context.progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            deterministic="warn",
        )
        try:
            trainer.fit(module, training, validation)
        except SystemExit as error:
            raise KeyboardInterrupt from error
    module.to("cpu")
    lines = curve.read()
    if weights is None:
        return Fit(len(lines), len(lines), math.nan, lines)
    epoch, best = weights.restore(module)
    return Fit(len(lines), epoch, best, lines)


def parameters(module: torch.nn.Module) -> dict[str, int]:
    """How many numbers a module has, and how many of them are trained."""
    every = [(one.numel(), one.requires_grad) for one in module.parameters()]
    return {
        "parameters": sum(count for count, _ in every),
        "trained_parameters": sum(count for count, trained in every if trained),
    }


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's default generator for a while, and put it back as it was."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)
        yield


def _where(options: TrainingOptions, context: RunContext) -> dict[str, Any]:
    """The trainer's accelerator, devices, strategy and environment."""
    kind, _, number = context.device.partition(":")
    accelerator = {"cuda": "gpu"}.get(kind, kind)
    devices: int | list[int] = [int(number)] if number else options.devices
    place: dict[str, Any] = {"accelerator": accelerator, "devices": devices}
    if options.devices > 1:
        # Processes of their own that end with the training: the run goes on in this one alone.
        place["strategy"] = "ddp_spawn" if torch.cuda.is_available() else "ddp_fork"
    if launched() is None:
        place["plugins"] = [LightningEnvironment()]
    return place


class _BestWeights(Callback):
    """Keeps what training changed, of the best epoch, in a file.

    A file, and not an attribute, because the processes of DDP end before the run does.
    """

    def __init__(self, options: TrainingOptions, scratch: Path) -> None:
        self.weights, self.facts = scratch / "best.safetensors", scratch / "best.json"
        self.facts.unlink(missing_ok=True)
        self.monitor, self.sign = options.monitor, -1 if options.mode == "max" else 1
        self.best = math.nan

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights if they are the best so far."""
        value = float(trainer.callback_metrics[self.monitor])
        if math.isnan(self.best) or self.sign * value < self.sign * self.best:
            self.best = value
            if trainer.is_global_zero:
                save_file(trained_state(pl_module), self.weights)
                facts = {"epoch": trainer.current_epoch + 1, "best": value}
                self.facts.write_text(json.dumps(facts), encoding="utf-8")

    def restore(self, module: LightningModule) -> tuple[int, float]:
        """Put the best weights back; their epoch, and its monitor."""
        if not self.facts.exists():
            return 0, math.nan
        module.load_state_dict(load_file(self.weights), strict=False)
        facts = json.loads(self.facts.read_text(encoding="utf-8"))
        return int(facts["epoch"]), float(facts["best"])


def trained_state(module: torch.nn.Module) -> dict[str, Tensor]:
    """Copies of the weights that training changes: trained parameters and persistent buffers."""
    frozen = {name for name, one in module.named_parameters() if not one.requires_grad}
    return {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in module.state_dict().items()
        if name not in frozen
    }


class _Curve(Callback):
    """What was logged, a line an epoch, in a file."""

    def __init__(self, scratch: Path) -> None:
        self.path = scratch / "curve.jsonl"
        self.path.write_text("", encoding="utf-8")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's form
        """Add a line."""
        if trainer.is_global_zero:
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            line = json.dumps({"epoch": float(trainer.current_epoch + 1), **values})
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(line + "\n")

    def read(self) -> list[dict[str, float]]:
        """All lines."""
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


def _progress_bar() -> Callback:
    from lightning.pytorch.callbacks import RichProgressBar  # noqa: PLC0415  # only where drawn

    return RichProgressBar(leave=False)


def evaluate_in_batches(
    forward: Callable[[Any], Tensor], batches: Batches, device: torch.device | None = None
) -> Tensor:
    """Outputs of all batches end to end, on the CPU, without gradients."""
    found = []
    with torch.inference_mode():
        for batch in batches:
            moved = batch if device is None else _to(batch, device)
            found.append(forward(moved).float().cpu())
    return torch.cat(found) if found else torch.empty(0)


def _to(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {name: _to(value, device) for name, value in batch.items()}
    return type(batch)(_to(value, device) for value in batch)
