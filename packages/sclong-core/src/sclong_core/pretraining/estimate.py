"""What a run will take, estimated from its configuration alone: operations, memory, time."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from sclong_core.config import PerformerConfig, ScLongConfig
from sclong_core.errors import ConfigError
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong

BACKWARD = 2
"""Cost of the backward pass in forward passes."""


def positions(config: ScLongConfig) -> dict[str, int]:
    """Positions that each encoder runs over; the PAD position is one of them."""
    if config.context is not None:
        high, low = config.high_genes, config.context.low_genes
        return {"large": high, "mini": low, "full": high + low}
    everything = config.genes + 1
    low = everything - config.high_genes
    if config.low_expression == "none":
        return {"large": config.high_genes, "full": config.high_genes}
    return {"large": config.high_genes, "mini": low, "full": everything}


def flops_per_cell(config: ScLongConfig) -> float:
    """FLOP of a cell in training: forward and backward.

    The gene embedding, computed once a batch, and all element-wise work are left out.
    """
    encoders = sum(
        _performer(getattr(config, name), count) for name, count in positions(config).items()
    )
    outside = config.high_genes * 2 * config.dim * config.large.dim
    embedded = config.genes + 1 if config.context is None else positions(config)["full"]
    outside += embedded * config.expression_hidden * (1 + config.dim)
    return 2.0 * (encoders + outside) * (1 + BACKWARD)


def _performer(config: PerformerConfig, count: int) -> int:
    dense = 4 * config.dim * config.inner + 8 * config.dim**2
    favor = config.heads * config.features * (4 * config.dim_head + 2)
    return config.depth * count * (dense + favor)


FSDP = "fsdp"
"""Name of the strategy that spreads weights, gradients and the optimiser over the ranks."""
_NUMBER = 4
"""Bytes of a float32."""
_CARDS = (16, 24, 40, 48, 80, 141)
"""Memory of usual GPUs in GB."""
_NUMBERS_A_WEIGHT = 4
"""Weight, gradient, and the two means of Adam."""


@dataclass(frozen=True)
class PlanConfig:
    """Assumptions used by ``--dry-run``; training does not read them."""

    cells: int | None = None
    """Training cells of an epoch; counted in the data by default."""
    peak_tflops: float = 312.0
    """Peak of one device in TFLOP/s; an A100's in bfloat16."""
    utilisation: float = 0.4
    """Share of the peak that is reached."""

    def __post_init__(self) -> None:
        """Refuse numbers that no machine has."""
        if self.cells is not None and self.cells < 1:
            raise ConfigError(f"plan.cells must be at least 1, not {self.cells}")
        if self.peak_tflops <= 0 or not 0 < self.utilisation <= 1:
            raise ConfigError("plan.peak_tflops must be positive, plan.utilisation above 0 to 1")


@dataclass(frozen=True)
class Layout:
    """How a run is spread over devices."""

    nodes: int
    """Machines."""
    devices: int
    """Devices a machine."""
    batch_size: int
    """Cells a rank and batch."""
    accumulation: int
    """Batches a step of the optimiser."""
    precision: str
    """As the Trainer names it."""
    activation_checkpointing: bool
    """Whether activations are computed again in the backward pass."""
    sharded: bool = False
    """Whether weights, gradients and Adam are spread over the ranks (FSDP), or each has all."""

    @property
    def ranks(self) -> int:
        """Processes, one a device."""
        return self.nodes * self.devices

    @property
    def effective_batch(self) -> int:
        """Cells a step of the optimiser."""
        return self.batch_size * self.ranks * self.accumulation


@dataclass(frozen=True)
class Parameters:
    """Trainable numbers of a model."""

    all: int
    """Of the model."""
    outside: int
    """Of what is in no layer of an encoder; FSDP fetches it as one."""
    largest_layer: int
    """Of the largest layer, which FSDP fetches by itself."""


def count_parameters(config: ScLongConfig) -> Parameters:
    """Trainable numbers, counted on a model without memory."""
    graph = None
    if config.graph != "none":
        graph = GeneGraph(config.genes, *_no_edges())
    with torch.device("meta"):
        model = ScLong(config, graph=graph)
    layers = [
        sum(parameter.numel() for parameter in layer.parameters())
        for encoder in model.encoders().values()
        for layer in encoder.layers
    ]
    count = sum(parameter.numel() for parameter in model.parameters())
    return Parameters(count, count - sum(layers), max(layers))


def state_bytes(parameters: Parameters, layout: Layout) -> int:
    """Bytes of weights, gradients and Adam on one rank, with what comes and goes beside them.

    Each rank has all (DDP), and where there are several the buckets in which gradients travel; or
    it has its share (FSDP), what is fetched (all that is in no layer, the layer that is computed,
    and the next one), and whole gradients where they are accumulated without communication.
    """
    everything = _NUMBERS_A_WEIGHT * parameters.all
    if not layout.sharded:
        return _NUMBER * (everything + (parameters.all if layout.ranks > 1 else 0))
    fetched = parameters.outside + 2 * parameters.largest_layer
    accumulated = parameters.all if layout.accumulation > 1 else 0
    return _NUMBER * (-(-everything // layout.ranks) + fetched + accumulated)


def activation_bytes(config: ScLongConfig, layout: Layout) -> int:
    """Bytes kept for the backward pass of one rank's batch.

    For each position of a layer of width ``c``, inner width ``i``, ``h`` heads and ``m`` feature
    maps (heads x random features): ``30 c + 20 i + 20 m + 30 h + 24`` bytes with products in
    bfloat16, ``52 c + 28 i + 16 m + 28 h + 24`` in float32; and, whatever the batch, the copies of
    a layer's weights in bfloat16, ``8 c i + 16 c^2``. The coefficients are those of what autograd
    saves, counted by ``benchmarks/scale_pretraining.py``. With activation checkpointing: the input
    of each layer, and all of this for one layer alone.
    """
    bfloat16 = layout.precision.startswith("bf16")
    width, inner, maps, heads = (30, 20, 20, 30) if bfloat16 else (52, 28, 16, 28)
    kept, largest = 0, 0
    for name, count in positions(config).items():
        performer: PerformerConfig = getattr(config, name)
        of_position = (
            width * performer.dim
            + inner * performer.inner
            + maps * performer.heads * performer.features
            + heads * performer.heads
            + 24
        )
        layer = layout.batch_size * count * of_position
        if bfloat16:
            layer += 8 * performer.dim * (performer.inner + 2 * performer.dim)
        inputs = layout.batch_size * count * _NUMBER * performer.dim
        kept += performer.depth * (inputs if layout.activation_checkpointing else layer)
        largest = max(largest, layer)
    return kept + (largest if layout.activation_checkpointing else 0)


def plan_rows(
    config: ScLongConfig, layout: Layout, plan: PlanConfig, *, cells: int | None, epochs: int
) -> list[tuple[str, str]]:
    """What a dry run shows: names and figures, with the formula where one was used."""
    parameters = count_parameters(config)
    flops = flops_per_cell(config)
    states, activations = state_bytes(parameters, layout), activation_bytes(config, layout)
    batch = (
        f"{layout.effective_batch:,} cells ({layout.batch_size} per rank x "
        f"{layout.ranks} ranks x {layout.accumulation} accumulated)"
    )
    cost = (
        f"{flops:.3g} = 3 x forward; forward = 2 x sum over layers of positions x "
        "(4 dim x inner + 8 dim^2 + heads x features x (4 dim_head + 2))"
    )
    recomputed = ", recomputed" if layout.activation_checkpointing else ""
    spread = f"spread over {layout.ranks:,} ranks" if layout.sharded else "all on each rank"
    memory = (
        f"{_gib(states + activations)} = weights, gradients and Adam {_gib(states)} ({spread}) + "
        f"activations {_gib(activations)} (batch {layout.batch_size}{recomputed}); an estimate"
    )
    rows = [
        ("parameters", f"{parameters.all:,}"),
        ("genes", f"{config.genes:,}, of which {config.high_genes:,} in the large encoder"),
        ("world size", f"{layout.ranks:,} ({layout.nodes} nodes x {layout.devices} devices)"),
        ("effective batch", batch),
        ("precision", layout.precision),
        ("FLOP a cell", cost),
        ("memory a rank", memory),
        ("GPU", _cards(states + activations)),
    ]
    if not layout.activation_checkpointing:
        again = activation_bytes(config, replace(layout, activation_checkpointing=True))
        saving = (
            f"model.activation_checkpointing=true: {_gib(states + again)} per rank "
            f"instead, for a third more computing; then {_cards(states + again)}"
        )
        rows.append(("to save memory", saving))
    return rows + _time_rows(layout, plan, flops=flops, cells=cells, epochs=epochs)


def _cards(needed: int) -> str:
    """Which usual cards hold that, with a tenth to spare for the allocator and the CUDA context."""
    held = [size for size in _CARDS if needed * 1.1 <= size * 2**30]
    if not held:
        return f"does not fit on a card of {_CARDS[-1]} GB or less"
    smaller = [size for size in _CARDS if size < held[0]]
    refused = f"; does not fit on one of {smaller[-1]} GB" if smaller else ""
    return f"{held[0]} GB or more{refused}"


def _time_rows(
    layout: Layout, plan: PlanConfig, *, flops: float, cells: int | None, epochs: int
) -> list[tuple[str, str]]:
    if cells is None:
        return [("time", "unknown: set data.path or plan.cells")]
    rate = layout.ranks * plan.peak_tflops * 1e12 * plan.utilisation
    seconds = cells * flops / rate
    steps = math.ceil(cells // (layout.batch_size * layout.ranks) / layout.accumulation)
    epoch = (
        f"{duration(seconds)} at {plan.utilisation:.0%} of {plan.peak_tflops:g} TFLOP/s a device "
        "(plan.utilisation, plan.peak_tflops)"
    )
    shown = [("steps an epoch", f"{steps:,} of {cells:,} cells"), ("time an epoch", epoch)]
    if epochs > 0:
        shown.append(("time in all", f"{duration(seconds * epochs)} for {epochs} epochs"))
    return shown


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def duration(seconds: float) -> str:
    """A time in the largest unit that it fills."""
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} seconds"


def _no_edges() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    return np.empty((2, 0), dtype=np.int64), np.empty(0, dtype=np.float32)
