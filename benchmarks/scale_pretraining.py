"""The paper's pretraining on 1, 8 and 96 GPUs: ``python -m benchmarks.scale_pretraining``.

What is kept for the backward pass is measured: the real model runs on tensors without memory, and
every tensor that autograd saves is counted. The rest is arithmetic over the configuration. Writes
the tables of ``docs/scale.md``; ``--measure`` counts the activations anew.
"""

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.machine import ROOT
from sclong_core.config import ScLongConfig
from sclong_core.model import ScLong
from sclong_core.nn import attention, performer
from sclong_core.pretraining.estimate import (
    Layout,
    activation_bytes,
    count_parameters,
    flops_per_cell,
    state_bytes,
)
from sclong_core.pretraining.loss import scored_error

DOCUMENT = ROOT / "docs" / "scale.md"
MEASURED = ROOT / "benchmarks" / "results" / "scale_activations.json"
SIZES = ROOT / "benchmarks" / "results" / "scale.md"
GPUS = (1, 8, 96)
UTILISATIONS = (0.07, 0.30, 0.50)
GLOBAL_BATCH = 19_200
CELLS, EPOCHS = 48_000_000, 5
PEAK = 312e12
WITHIN, BETWEEN = 300e9, 25e9
"""Bytes a second that a GPU sends: NVLink of an A100, and one 200 Gbit/s adapter a GPU."""
PRICE = 2.0
"""USD a GPU and hour."""
_GIB = 2**30
_UNBOUNDED = 1 << 62


@dataclass(frozen=True)
class Kept:
    """Bytes that autograd keeps for one cell."""

    all: int
    """Every activation, with the bfloat16 copies of weights that autocast makes."""
    recomputed: int
    """Only the inputs of layers, and everything of the layer that is computed again."""


def measure(config: ScLongConfig, *, bfloat16: bool = True) -> Kept:
    """Count what the training step of one cell keeps."""
    whole = _kept(config, bfloat16=bfloat16, checkpointing=False)
    inputs = _kept(config, bfloat16=bfloat16, checkpointing=True)
    layers = (_of_layer(config, name, bfloat16=bfloat16) for name in ("large", "mini", "full"))
    return Kept(whole, inputs + max(layers))


def _kept(config: ScLongConfig, *, bfloat16: bool, checkpointing: bool) -> int:
    with FakeTensorMode(), _whole_positions():
        model = _model(config)
        for encoder in model.encoders().values():
            encoder.activation_checkpointing = checkpointing
        expression = torch.rand(1, config.genes)
        hidden = torch.zeros(1, config.genes, dtype=torch.bool)
        with _counting(model) as count, _products(bfloat16=bfloat16):
            output = model(expression, hidden)
            scored_error(output.reconstruction, expression, hidden)
        return int(count())


def _of_layer(config: ScLongConfig, encoder: str, *, bfloat16: bool) -> int:
    positions = {
        "large": config.high_genes,
        "mini": config.genes + 1 - config.high_genes,
        "full": config.genes + 1,
    }
    with FakeTensorMode(), _whole_positions():
        layer = _model(config).encoders()[encoder].layers[0]
        x = torch.rand(1, positions[encoder], getattr(config, encoder).dim, requires_grad=True)
        with _counting(layer) as count, _products(bfloat16=bfloat16):
            layer(x)
        return int(count())


def _model(config: ScLongConfig) -> ScLong:
    with torch.device("meta"):
        model = ScLong(replace(config, graph="none"))
    for module in list(model.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape)))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
    return model


def _products(*, bfloat16: bool) -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16, cache_enabled=False)


@contextmanager
def _whole_positions() -> Iterator[None]:
    """All positions at once, as on an accelerator: tensors without memory count as the CPU's."""
    names = [
        (performer, "_CPU_BLOCK_BYTES"),
        (performer, "_CPU_BLOCK_PHI"),
        (attention, "_CPU_BLOCK_ELEMENTS"),
    ]
    before = [getattr(module, name) for module, name in names]
    for module, name in names:
        setattr(module, name, _UNBOUNDED)
    try:
        yield
    finally:
        for (module, name), value in zip(names, before, strict=True):
            setattr(module, name, value)


@contextmanager
def _counting(module: nn.Module) -> Iterator[Any]:
    """Count the memory behind the tensors that autograd saves, once each, weights left out."""
    known = {parameter.untyped_storage()._cdata for parameter in module.parameters()}  # noqa: SLF001  # identity
    saved: dict[int, Any] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:  # noqa: SLF001  # as above
            saved[storage._cdata] = storage  # noqa: SLF001  # held, so that no other gets its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield lambda: sum(storage.nbytes() for storage in saved.values())


def layouts() -> Iterator[Layout]:
    """What the tables compare: DDP and FSDP at each number of GPUs, and the same global batch."""
    for gpus in GPUS:
        for sharded in (False, True) if gpus > 1 else (False,):
            yield Layout(
                nodes=-(-gpus // 8),
                devices=min(gpus, 8),
                batch_size=1,
                accumulation=GLOBAL_BATCH // gpus,
                precision="bf16-mixed",
                activation_checkpointing=False,
                sharded=sharded,
            )


def memory_table(config: ScLongConfig, kept: Kept) -> list[str]:
    """Memory of a rank."""
    parameters = count_parameters(config)
    rows = [
        (
            "| GPUs | strategy | weights, gradients, Adam | activations, kept | in all | "
            "activations, computed again | in all |"
        ),
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for layout in layouts():
        states = state_bytes(parameters, layout)
        figures = [states, kept.all, states + kept.all, kept.recomputed, states + kept.recomputed]
        shown = " | ".join(f"{figure / _GIB:.1f}" for figure in figures)
        rows.append(f"| {layout.ranks} | {_strategy(layout)} | {shown} |")
    return rows


def activation_table(config: ScLongConfig, kept: Kept) -> list[str]:
    """What was counted beside what a dry run estimates."""
    layout = next(layouts())
    rows = ["| | counted | estimated by `--dry-run` |", "|---|---:|---:|"]
    for name, figure, again in (
        ("kept", kept.all, False),
        ("computed again", kept.recomputed, True),
    ):
        estimate = activation_bytes(config, replace(layout, activation_checkpointing=again))
        rows.append(f"| {name} | {figure / _GIB:.1f} | {estimate / _GIB:.1f} |")
    return rows


def communication_table(config: ScLongConfig) -> list[str]:
    """What a rank sends in a step of the optimiser, and how long beside computing."""
    size = 4 * count_parameters(config).all
    rows = [
        (
            "| GPUs | strategy | batches a step | sent a step, GB | sending, s | "
            "computing at 7 %, s | at 30 % | at 50 % |"
        ),
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for layout in layouts():
        if layout.ranks == 1:
            continue
        part = size * (layout.ranks - 1) / layout.ranks
        # DDP sums gradients once a step; FSDP fetches weights twice a batch and sums once a step.
        sent = part * (2 * layout.accumulation + 1) if layout.sharded else 2 * part
        seconds = sent / (WITHIN if layout.nodes == 1 else BETWEEN)
        computing = " | ".join(f"{_step_seconds(config, layout, u):,.0f}" for u in UTILISATIONS)
        rows.append(
            f"| {layout.ranks} | {_strategy(layout)} | {layout.accumulation:,} | {sent / 1e9:,.1f} "
            f"| {seconds:,.2f} | {computing} |"
        )
    return rows


def time_table(config: ScLongConfig) -> list[str]:
    """Time and cost of the whole run."""
    rows = [
        "| GPUs | utilisation | cells/s | days | GPU-hours | USD |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for gpus in GPUS:
        for utilisation in UTILISATIONS:
            rate = gpus * PEAK * utilisation / flops_per_cell(config)
            hours = CELLS * EPOCHS / rate / 3600
            rows.append(
                f"| {gpus} | {utilisation:.0%} | {rate:,.1f} | {hours / 24:,.1f} | "
                f"{gpus * hours:,.0f} | {gpus * hours * PRICE:,.0f} |"
            )
    return rows


def _step_seconds(config: ScLongConfig, layout: Layout, utilisation: float) -> float:
    return layout.accumulation * flops_per_cell(config) / (PEAK * utilisation)


def _strategy(layout: Layout) -> str:
    if layout.ranks == 1:
        return "one process"
    return "FSDP" if layout.sharded else "DDP"


def tables() -> dict[str, list[str]]:
    """The tables of the document by name."""
    config = ScLongConfig()
    kept = Kept(**json.loads(MEASURED.read_text(encoding="utf-8")))
    return {
        "activations": activation_table(config, kept),
        "memory": memory_table(config, kept),
        "communication": communication_table(config),
        "time": time_table(config),
        "sizes": [line for line in SIZES.read_text("utf-8").splitlines() if line[:1] == "|"],
    }


def filled(text: str) -> str:
    """A document with what stands between its marks replaced by the tables."""
    for name, rows in tables().items():
        start, end = f"<!-- table {name} -->", f"<!-- end {name} -->"
        body = "\n".join([start, "", *rows, "", end])
        text, count = re.subn(f"{re.escape(start)}.*?{re.escape(end)}", body, text, flags=re.DOTALL)
        assert count == 1, name
    return text


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="count the activations anew")
    if parser.parse_args().measure:
        kept = measure(ScLongConfig())
        MEASURED.write_text(json.dumps(vars(kept), indent=2) + "\n", encoding="utf-8")
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
