"""The end of a run: the model as a checkpoint folder that can be embedded with."""

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from sclong_core.checkpoint import read_checkpoint_info, write_checkpoint
from sclong_core.errors import CheckpointError
from sclong_core.human_genes import with_symbols
from sclong_core.pretraining.checkpointing import save_together
from sclong_core.pretraining.fsdp import ShardedStrategy
from sclong_core.pretraining.module import ScLongPretraining

_LOG = logging.getLogger("sclong")
_PREFIX = "model."
_PACKAGES = ("sclong-core", "torch", "lightning", "numpy", "performer-pytorch", "torch-geometric")


class ExportModel(Callback):
    """Writes ``model/`` and a last training checkpoint when training has come to its end.

    Args:
        folder: of the run.
        settings: of the run, for the record: plain JSON values.
    """

    def __init__(self, folder: str | Path, settings: dict[str, Any] | None = None) -> None:
        self.folder = Path(folder)
        self.settings = settings or {}

    @property
    def model_folder(self) -> Path:
        """Where the model is written."""
        return self.folder / "model"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the model first, then the checkpoint: a run that has the second has both."""
        self._export(trainer, pl_module)
        save_together(trainer, self.folder / "checkpoints" / f"step={trainer.global_step}.ckpt")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the model of a run that was killed after its last step and before its export."""
        missing = not trainer.interrupted and not self._is_exported(trainer)
        if trainer.strategy.broadcast(missing):
            self._export(trainer, pl_module)

    def _export(self, trainer: Trainer, pl_module: LightningModule) -> None:
        strategy = trainer.strategy
        if isinstance(pl_module, ScLongPretraining):
            pl_module.finish()
        # All ranks: where weights are spread over them, this gathers.
        if isinstance(strategy, ShardedStrategy):
            state = strategy.whole_state_dict()
        else:
            state = strategy.lightning_module_state_dict()
        if trainer.is_global_zero:
            self._write(trainer, pl_module, state)

    def _write(
        self, trainer: Trainer, pl_module: LightningModule, state: dict[str, torch.Tensor]
    ) -> None:
        if not isinstance(pl_module, ScLongPretraining):
            raise TypeError("ExportModel exports a ScLongPretraining")
        model = pl_module.model
        if model.vocabulary is None:
            raise CheckpointError("a model without a vocabulary cannot be exported")
        tensors = {
            name.removeprefix(_PREFIX): tensor
            for name, tensor in state.items()
            if name.startswith(_PREFIX)
        }
        write_checkpoint(
            self.model_folder,
            config=model.config,
            vocabulary=with_symbols(model.vocabulary),
            graph=model.graph,
            tensors=tensors,
            origin=self._origin(trainer, pl_module),
            overwrite=True,
        )
        _LOG.info("the model of step %s is in %s", f"{trainer.global_step:,}", self.model_folder)

    def _origin(self, trainer: Trainer, pl_module: ScLongPretraining) -> dict[str, Any]:
        """Where the weights come from. No time and no place: equal runs write equal folders."""
        datamodule = getattr(trainer, "datamodule", None)
        describe = getattr(datamodule, "describe", None)
        return {
            "kind": "pretraining",
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "seeds": {"model": pl_module.seed, "data": getattr(datamodule, "seed", None)},
            "data": describe() if describe is not None else None,
            "settings": self.settings,
            "versions": {name: version(name) for name in _PACKAGES},
        }

    def _is_exported(self, trainer: Trainer) -> bool:
        try:
            origin = read_checkpoint_info(self.model_folder).origin
        except CheckpointError:
            return False
        return origin.get("steps") == trainer.global_step
