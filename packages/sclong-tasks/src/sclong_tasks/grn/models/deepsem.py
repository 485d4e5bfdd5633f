"""DeepSEM from any first network: its uniform one, or cosines of representations."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from sclong_core.errors import ConfigError
from sclong_tasks.batches import row_batches
from sclong_tasks.cache import ContentCache
from sclong_tasks.grn.config import NetworkOptions
from sclong_tasks.grn.data import GrnData
from sclong_tasks.grn.models.edges import EdgeModel
from sclong_tasks.grn.models.representation import CosineOptions, gene_cosines
from sclong_tasks.grn.models.simple import Correlation, CorrelationOptions
from sclong_tasks.grn.module import DeepSemModule, GrnLayer
from sclong_tasks.settings import as_plain
from sclong_tasks.task import ProtocolName, RunContext
from sclong_tasks.training import TrainingOptions, fit_module, parameters, seeded

_LOG = logging.getLogger("sclong")
STARTS = ("uniform", "representation", "correlation")
REGULATORS = ("all", "factors")
_UNIFORM = 2e-4
_VERSION = 1
_FIRST_EPOCH, _EPOCHS = 11, 5
"""The released evaluation scores epochs 10 to 14, counted from 0, of one training."""


@dataclass
class DeepSemOptions(CosineOptions):
    """First network, network, training."""

    start: str = "representation"
    """"uniform" (DeepSEM's), cosines of the "representation", or "correlation" of expression."""
    regulators: str = "all"
    """Genes that regulate in the network: "all", or transcription factors alone ("factors"): a
    network of all 17,735 genes is a matrix of 1.3 GB, and a step has six such in memory."""
    row_sum: float = 0.9
    """Sizes of a gene's first weights are scaled to this sum, below 1, so that I - A can be solved;
    with 1, as in the released code, it is singular. A uniform start is left as it is."""
    inverse: str = "solve"
    """"solve", or, as a fault of the released code, what ``cholesky_inverse`` gives."""
    epochs_as_seeds: bool = False
    """Fault of the released evaluation: runs are consecutive epochs of one training."""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            epochs=120, batch_size=64, learning_rate=1e-4, patience=0
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in (("network", NetworkOptions), ("training", TrainingOptions)):
            if isinstance(getattr(self, name), dict):
                setattr(self, name, kind(**getattr(self, name)))
        for name, choices in (
            ("start", STARTS), ("regulators", REGULATORS), ("inverse", ("solve", "cholesky")),
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise ConfigError(f"model.{name} must be one of {', '.join(choices)}")
        if not 0 < self.row_sum <= 1:
            raise ConfigError("model.row_sum must be above 0, and at most 1")
        if self.inverse == "cholesky" and self.regulators != "all":
            raise ConfigError("model.inverse=cholesky goes with model.regulators=all")
        if self.training.devices > 1:
            raise ConfigError("DeepSEM trains in one process: model.training.devices=1")
        if self.training.patience:
            raise ConfigError("DeepSEM has no labels to stop by: model.training.patience=0")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> Self:
        """As published: no true inverse, and epochs that pass for seeds."""
        if protocol != "published":
            return cls()
        return cls(inverse="cholesky", epochs_as_seeds=True, row_sum=1.0)


class DeepSem(EdgeModel):
    """``A`` after training, from regulators to genes."""

    Options: ClassVar[type] = DeepSemOptions

    @classmethod
    def uses_checkpoint(cls, options: Any) -> bool:
        """Only where it starts from representations."""
        return options.start == "representation" and super().uses_checkpoint(options)

    def infer(self, data: GrnData, context: RunContext) -> npt.NDArray[Any]:
        """Train, or take what was trained on the same cells with the same options and seed."""
        options: DeepSemOptions = self.options
        chosen = np.arange(len(data.genes), dtype=np.int32)
        if options.regulators == "factors":
            chosen = np.asarray(data.factors)
        start = self._start(data, chosen, context)
        key = {"what": "DeepSEM", "version": _VERSION, "cells": data.cells.digest}
        key.update(options=as_plain(options), seed=context.seed, model=self.facts.get("model"))
        key.update(regulators=[int(place) for place in chosen], genes=list(data.genes))
        kept = ContentCache(context.cache).arrays(
            key, lambda: self._train(data, chosen, start, context)
        )
        self.facts["history"] = [
            {"epoch": float(place + 1), "training_loss": float(loss)}
            for place, loss in enumerate(kept["loss"])
        ]
        found = np.zeros((len(data.regulators), len(data.genes)), dtype=np.float32)
        asked = np.isin(chosen, data.regulators)
        found[np.searchsorted(data.regulators, chosen[asked])] = kept["weights"][asked]
        return found

    def _start(
        self, data: GrnData, chosen: npt.NDArray[np.int32], context: RunContext
    ) -> npt.NDArray[np.float32]:
        """First weights, ``(regulators, genes)``."""
        options: DeepSemOptions = self.options
        seen = data.with_regulators(chosen)
        if options.start == "uniform":
            generator = np.random.default_rng(0 if options.epochs_as_seeds else context.seed)
            found = generator.random((len(chosen), len(data.genes)), dtype=np.float32) * _UNIFORM
            return np.asarray(found + 1 / (len(data.genes) - 1), dtype=np.float32)
        if options.start == "correlation":
            found = Correlation(CorrelationOptions()).infer(seen, context)
        else:
            found, self.facts = gene_cosines(options, seen, context)
        return scaled(found, chosen, options.row_sum)

    def _train(
        self,
        data: GrnData,
        chosen: npt.NDArray[np.int32],
        start: npt.NDArray[np.float32],
        context: RunContext,
    ) -> dict[str, npt.NDArray[Any]]:
        options: DeepSemOptions = self.options
        training, seed = replace(options.training), context.seed
        if options.epochs_as_seeds:
            seed, training.epochs = 0, _FIRST_EPOCH + context.seed % _EPOCHS
        place = torch.from_numpy(np.asarray(chosen, dtype=np.int64))
        layer = GrnLayer(torch.from_numpy(start), place, cholesky=options.inverse == "cholesky")
        with seeded(seed):
            module = DeepSemModule(layer, options.network, training.learning_rate)
        self.facts.update(parameters(module))
        values, mask = standardised(data.cells.values)
        columns = {
            "values": torch.from_numpy(values),
            "mask": torch.from_numpy(mask),
            "cell": torch.arange(len(values)),
        }
        batches = row_batches(columns, training.batch_size, shuffle_seed=seed)
        fit = fit_module(module, batches, None, training, replace(context, seed=seed))
        loss = np.array([line.get("training_loss", np.nan) for line in fit.history])
        return {"weights": module.layer.weight.detach().numpy(), "loss": loss}


def standardised(
    expression: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """``(cells, genes)`` by mean and s.d. of each gene where it is not 0, and a mask of that.

    All values are standardised, zeros too, and cut at -10 and 10; genes that never vary are 0.
    """
    wide = expression.astype(np.float64)
    mask = wide != 0
    count = np.maximum(mask.sum(0), 1)
    mean = (wide * mask).sum(0) / count
    spread = np.sqrt((((wide - mean) * mask) ** 2).sum(0) / count)
    found = np.where(spread > 0, (wide - mean) / np.where(spread > 0, spread, 1), 0)
    return np.clip(found, -10, 10).astype(np.float32), mask.astype(np.float32)


def scaled(
    weights: npt.NDArray[Any], regulators: npt.NDArray[np.int32], row_sum: float
) -> npt.NDArray[np.float32]:
    """Weights whose sizes sum to ``row_sum`` over the regulators of each gene."""
    found = np.array(weights, dtype=np.float32)
    found[np.arange(len(regulators)), regulators] = 0
    total = np.abs(found).sum(0, dtype=np.float64)
    found *= (row_sum / np.where(total > 0, total, 1)).astype(np.float32)
    return found
