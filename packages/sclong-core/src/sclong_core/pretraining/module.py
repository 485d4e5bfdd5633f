"""The training task: reconstruct hidden expression values (paper, "scLong pretraining")."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch import distributed as dist
from torch.optim import Adam, Optimizer

from sclong_core.array_files import read_array
from sclong_core.config import InputConfig
from sclong_core.errors import ConfigError, InputError, ScLongError
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong
from sclong_core.nn.kernels import AttentionKernels
from sclong_core.pretraining.config import NetworkConfig
from sclong_core.pretraining.datamodule import PretrainingData
from sclong_core.pretraining.estimate import flops_per_cell
from sclong_core.pretraining.fsdp import clip_mask_vector, gradient_norm, is_sharded, shard
from sclong_core.pretraining.identity import KEY, check_identity, identity
from sclong_core.pretraining.loss import scored_error
from sclong_core.pretraining.metrics import HiddenGeneMetrics, ValidationMetrics
from sclong_core.pretraining.objective import ObjectiveConfig, objective_terms, total
from sclong_core.pretraining.readouts import finish_readout, start_readout
from sclong_core.pretraining.schedule import ScheduleConfig, make_scheduler
from sclong_core.vocabulary import GeneVocabulary

_LOG = logging.getLogger("sclong")
PRECISIONS = ("32", "32-true", "bf16", "bf16-mixed")
"""What training is right in: float16 overflows in FAVOR+, and bfloat16 weights lose small steps."""


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam; the defaults are the paper's. The learning rate is the schedule's."""

    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.999
    """Decay of the mean of squared gradients."""
    epsilon: float = 1e-8
    """Added to the denominator."""
    weight_decay: float = 0.0
    """L2 penalty."""

    def __post_init__(self) -> None:
        """Refuse numbers that Adam cannot use."""
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"optimiser.{name} must be at least 0 and below 1")
        if self.epsilon <= 0 or self.weight_decay < 0:
            raise ConfigError(
                "optimiser.epsilon must be positive and optimiser.weight_decay not negative"
            )


class ScLongPretraining(LightningModule):
    """Trains a new scLong to reconstruct hidden expression values.

    Args:
        network: a preset and what differs from it.
        vocabulary: genes of the model; the command takes it from the data.
        input: how the expression is normalised; the command takes it from the data.
        graph: gene graph (``graph.npz``); without one the model has no graph convolution.
        gene_vectors: ``.npy`` file ``(genes, dim)`` of initial gene vectors (the paper: Gene2vec);
            random if None, or from the components of the training cells where there is a readout.
        optimiser: Adam's numbers.
        schedule: learning rate over time.
        objective: of a model with a readout (``network.readout``); the paper's task if None.
        feature_redraw_interval: batches between redraws of the random features.
        activation_checkpointing: compute each layer again in the backward pass to save memory.
        attention: how FAVOR+ is computed: "blocks", "fused" (kernels of Triton) or "auto".
        compile: compile the network with ``torch.compile``.
        seed: of the initial weights.

    Raises:
        ConfigError: settings that do not fit together.
        InputError: the graph or the vectors cannot be read.
    """

    def __init__(  # noqa: PLR0913  # settings of a user, each by its name
        self,
        vocabulary: GeneVocabulary,
        network: NetworkConfig = NetworkConfig(),  # noqa: B008  # frozen
        *,
        input: InputConfig = InputConfig(),  # noqa: A002, B008  # the name in config.json; frozen
        graph: str | Path | None = None,
        gene_vectors: str | Path | None = None,
        optimiser: OptimiserConfig = OptimiserConfig(),  # frozen
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008  # frozen
        objective: ObjectiveConfig | None = None,
        feature_redraw_interval: int = 1000,
        activation_checkpointing: bool = False,
        attention: AttentionKernels = "auto",
        compile: bool = False,  # noqa: A002  # what it does
        seed: int = 0,
    ) -> None:
        super().__init__()
        if feature_redraw_interval < 1:
            raise ConfigError(
                f"model.feature_redraw_interval must be at least 1, not {feature_redraw_interval}"
            )
        gene_graph = _read_graph(graph)
        config = network.build(
            len(vocabulary), has_graph=gene_graph is not None, input_config=input
        )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.model = ScLong(config, vocabulary, gene_graph, _read_vectors(gene_vectors))
        _LOG.info(
            "the model has %s parameters", f"{sum(p.numel() for p in self.model.parameters()):,}"
        )
        for encoder in self.model.encoders().values():
            encoder.activation_checkpointing = activation_checkpointing
        self.model.set_attention(attention)
        if compile:
            self.model.compile()
        if (objective is None) != (config.readout is None):
            raise ConfigError(
                "model.objective and model.network.readout belong together: set both, or neither"
            )
        self.objective = objective
        self._has_gene_vectors = gene_vectors is not None
        self.optimiser, self.schedule, self.seed = optimiser, schedule, seed
        self.feature_redraw_interval = feature_redraw_interval
        self.metrics = ValidationMetrics()
        self.gene_metrics = HiddenGeneMetrics()
        self._cells: list[Tensor] = []
        self._batch_cells = 1
        self._flops_per_cell = flops_per_cell(config)

    def setup(self, stage: str) -> None:  # Lightning gives it
        """Refuse a precision that training is wrong in."""
        if str(self.trainer.precision) not in PRECISIONS:
            raise ConfigError(precision_message(self.trainer.precision))
        if stage == "fit" and self.objective is not None:
            start_readout(self.model, self._data(), gene_vectors=not self._has_gene_vectors)

    def finish(self) -> None:
        """What is to be done before the model is exported: statistics of its readout."""
        if self.objective is not None:
            finish_readout(self.model, self._data())

    def _data(self) -> PretrainingData:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, PretrainingData):
            raise ConfigError("a model with a readout needs a data module of cells")
        return data

    def configure_model(self) -> None:
        """Spread the weights over the ranks where the strategy does so."""
        if self.device_mesh is not None and not is_sharded(self.model):
            shard(self.model, self.device_mesh)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam with the rate of the schedule."""
        optimizer = Adam(
            self.model.parameters(),
            lr=1.0,
            betas=(self.optimiser.beta1, self.optimiser.beta2),
            eps=self.optimiser.epsilon,
            weight_decay=self.optimiser.weight_decay,
        )
        scheduler = make_scheduler(optimizer, self.schedule)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": self.schedule.interval},
        }

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Redraw the random features when their time has come: a function of batches seen."""
        index = self.trainer.fit_loop.total_batch_idx // self.feature_redraw_interval
        if index != int(self.model.redraw_index):
            self.model.redraw_features(index)
        if is_sharded(self.model):
            clip_mask_vector(self.model)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch, for the backward pass.

        Raises:
            ScLongError: it is not finite on some rank. All ranks raise.
        """
        self._cells.append(batch["cell"])
        self._batch_cells = batch["cell"].numel()
        if self.objective is not None:
            return self._readout_step(batch, self.objective)
        output = self.model(batch["expression"], batch["masked"])
        error = scored_error(output.reconstruction, batch["expression"], batch["scored"])
        if not torch.isfinite(error.loss):
            self._stop("loss", error.loss)
        self.log("train/loss", error.loss, prog_bar=True)
        return error.for_backward

    def _readout_step(self, batch: dict[str, Tensor], objective: ObjectiveConfig) -> Tensor:
        """The loss of a model with a readout; damage is drawn by (seed, batch, rank)."""
        place = (self.seed, self.trainer.fit_loop.total_batch_idx, self.trainer.global_rank)
        seed = int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator(self.device).manual_seed(seed)
        cells = batch["cell"].cpu().numpy()
        # What fills up the last batch of an epoch measures nothing.
        measured = self._data().measured(cells) & (cells >= 0)[:, None]
        terms = objective_terms(
            self.model,
            dense_expression(batch, self.model.config.genes),
            torch.from_numpy(measured).to(self.device),
            objective,
            generator,
        )
        loss = total(terms, objective)
        if not torch.isfinite(loss):
            self._stop("loss", loss)
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log_dict({f"train/{name}": term.detach() for name, term in terms._asdict().items()})
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Refuse to step along a gradient that is not finite.

        Raises:
            ScLongError: a gradient is not finite on some rank. All ranks raise.
        """
        norm = gradient_norm(self.model)
        finite = self.trainer.strategy.reduce_boolean_decision(bool(torch.isfinite(norm)), all=True)
        if not finite:
            self._stop("norm of the gradient", norm)
        self.log("train/gradient_norm", norm)
        self.log("train/learning_rate", optimizer.param_groups[0]["lr"])
        self._cells.clear()

    def on_train_start(self) -> None:
        """Forget cells of a run that was stopped."""
        self._cells.clear()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Add a batch of held-out cells to the figures."""
        if self.objective is not None:
            self._validate_readout(batch, batch_idx)
            return
        output = self.model(batch["expression"], batch["masked"])
        means = getattr(getattr(self.trainer, "datamodule", None), "gene_means", None)
        gene_means = None if means is None else torch.from_numpy(means).to(self.device)
        self.metrics.update(output.reconstruction, batch, gene_means)

    def on_validation_epoch_end(self) -> None:
        """Log the figures over all held-out cells and ranks."""
        metrics = self.metrics if self.objective is None else self.gene_metrics
        self.log_dict(metrics.compute(), sync_dist=True)  # they are equal on all ranks

    def _validate_readout(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Hidden genes of whole cells, from their representations and from the cell's vector."""
        assert self.objective is not None
        cells = batch["cell"].cpu().numpy()
        measured = torch.from_numpy(self._data().measured(cells) & (cells >= 0)[:, None])
        self.gene_metrics.update(
            self.model,
            dense_expression(batch, self.model.config.genes),
            measured.to(self.device),
            seed=batch_idx * self.trainer.world_size + self.trainer.global_rank,
        )

    @property
    def flops_per_batch(self) -> int:
        """Forward and backward FLOP of the batch just seen, over all ranks.

        Lightning's throughput monitor divides it by the number of ranks.
        """
        return int(self._flops_per_cell * self._batch_cells * self.trainer.world_size)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what the checkpoint belongs to, as plain values."""
        checkpoint[KEY] = {**self._identity(), "seed": self.seed}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that belongs to something else.

        Raises:
            CheckpointError: other vocabulary, graph, network or masking.
        """
        check_identity(checkpoint, self._identity())

    def _identity(self) -> dict[str, Any]:
        datamodule = getattr(self._trainer, "datamodule", None)
        return identity(self.model, getattr(datamodule, "masking", None), self.objective)

    def _stop(self, what: str, value: Tensor) -> None:
        """Stop before the optimiser steps, naming the cells of all ranks since the last step."""
        cells = [int(cell) for batch in self._cells for cell in batch]
        if dist.is_available() and dist.is_initialized():
            of_ranks: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(of_ranks, cells)
            cells = [cell for part in of_ranks for cell in part]
        raise ScLongError(
            f"the {what} is {float(value)} at step {self.trainer.global_step + 1}: "
            "stopped before it changed the weights; checkpoints are unchanged; cells "
            f"by number: {_some(cells)}"
        )


def dense_expression(batch: dict[str, Tensor], genes: int) -> Tensor:
    """``(cells, genes)`` of a batch that may list expressed genes only."""
    if "offsets" not in batch:
        return batch["expression"]
    sizes = batch["offsets"].diff()
    row = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
    dense = batch["expression"].new_zeros(len(sizes), genes)
    dense[row, batch["gene"]] = batch["expression"]
    return dense


def precision_message(precision: object) -> str:
    """Why a precision is refused."""
    if str(precision).startswith("16"):
        return (
            f"trainer.precision {precision!r} is not supported: the exponentials of "
            "FAVOR+ overflow in float16; use bf16-mixed"
        )
    return f"trainer.precision must be 32-true or bf16-mixed, not {precision!r}"


def _some(cells: Sequence[int], shown: int = 64) -> str:
    listed = ", ".join(map(str, cells[:shown]))
    return listed + (f" and {len(cells) - shown} more" if len(cells) > shown else "")


def _read_graph(path: str | Path | None) -> GeneGraph | None:
    if path is None:
        _LOG.warning("no gene graph is set: the model has no graph convolution (model.graph)")
        return None
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist: set model.graph to a gene graph, or to null")
    return GeneGraph.read(path)


def _read_vectors(path: str | Path | None) -> npt.NDArray[np.float32] | None:
    if path is None:
        _LOG.warning("no gene vectors are set: they start at random (model.gene_vectors)")
        return None
    what = "a .npy file of gene vectors, which model.gene_vectors must be, or null"
    vectors = read_array(path, what)
    if vectors.dtype.kind not in "iuf":
        raise InputError(f"{path} is not {what}: it holds {vectors.dtype}")
    return np.asarray(vectors, dtype=np.float32)
