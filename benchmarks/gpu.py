"""Kernels of FAVOR+ on a GPU: ``python -m benchmarks.gpu``.

Compares the fused kernels with PyTorch's products on the device, outputs and gradients, then
measures embedding and training of every size with either, also under ``torch.compile``. Random
weights and cells, bfloat16 by autocast. Needs ``sclong-core[gpu]`` alone. Starts no measurement
after nine minutes; one that runs is not cut short. Writes ``benchmarks/results/gpu.md``, anew after
each size, and measures no kernel that differs.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from benchmarks.machine import RESULTS
from sclong_core import ScLong
from sclong_core.config import PRESETS, ScLongConfig
from sclong_core.graph import GeneGraph
from sclong_core.nn.kernels import AttentionKernels, use_fused

CHOICES: tuple[AttentionKernels, ...] = ("blocks", "fused")
TOLERANCE = 1e-3
"""Of the largest value: far above what float32 loses, far below what a wrong kernel does."""
SECONDS = 540
NEIGHBOURS = 20


def build(config: ScLongConfig) -> ScLong:
    """A model with random weights and a graph of 20 edges a gene, where it takes one."""
    if config.graph == "none":
        return ScLong(config)
    genes = np.arange(config.genes)
    shifts = range(1, min(NEIGHBOURS, config.genes - 1) + 1)
    edges = np.concatenate([np.stack([genes, np.roll(genes, shift)]) for shift in shifts], axis=1)
    return ScLong(config, graph=GeneGraph(config.genes, edges, np.ones(edges.shape[1], np.float32)))


def cells_of(config: ScLongConfig, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Expression, a tenth of it above zero, and what is masked, each ``(cells, genes)``."""
    generator = torch.Generator().manual_seed(0)
    values, expressed, masked = torch.rand((3, cells, config.genes), generator=generator)
    return (values * (expressed < 0.1)).to(device), (masked < 0.1).to(device)


def differences(model: ScLong, values: Tensor, masked: Tensor) -> tuple[float, float]:
    """Largest difference of outputs and of gradients, as a share of the largest value."""
    found = []
    for choice in CHOICES:
        output = model.train().set_attention(choice)(values, masked).reconstruction
        loss = output.square().mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
        found.append((output.detach(), *gradients))
    shares = [_share(ours, theirs) for theirs, ours in zip(*found, strict=True)]
    return shares[0], max(shares[1:])


def _share(ours: Tensor, theirs: Tensor) -> float:
    # A gradient that is zero but for rounding has no scale of its own.
    largest = max(theirs.abs().max().item(), 1e-6)
    share = (ours - theirs).abs().max().item() / largest
    return share if np.isfinite(share) else float("inf")


def rate(step: Callable[[], None], cells: int, device: torch.device, repeats: int) -> str:
    """Cells a second, the median of ``repeats`` after one step that is not counted."""
    try:
        seconds = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        return "out of memory"
    except TorchDynamoException as error:
        return f"not compiled ({type(error).__name__})"
    return f"{cells / float(np.median(seconds[1:])):.3g}"


def measure(
    model: ScLong, values: Tensor, masked: Tensor, *, compiled: bool, repeats: int
) -> tuple[str, str]:
    """Cells a second of embedding and of training, without the optimiser's step."""
    torch.compiler.reset()
    network = torch.compile(model) if compiled else model

    def embed() -> None:
        with torch.no_grad(), torch.autocast(values.device.type, torch.bfloat16):
            network(values)

    def train() -> None:
        model.zero_grad()
        with torch.autocast(values.device.type, torch.bfloat16):
            loss = network(values, masked).reconstruction.float().square().mean()
        loss.backward()

    model.eval()
    embedding = rate(embed, values.shape[0], values.device, repeats)
    model.train()
    training = rate(train, values.shape[0], values.device, repeats)
    model.zero_grad()
    return embedding, training


def table(
    configs: dict[str, ScLongConfig],
    device: torch.device,
    *,
    cells: int,
    repeats: int,
    compiled: bool,
    save: Callable[[list[str]], None] = lambda _rows: None,
) -> list[str]:
    """Rows of Markdown, a size, choice and way to run; ``save`` is given them after each size."""
    deadline = time.monotonic() + SECONDS
    rows: list[str] = []
    for size, config in configs.items():
        if time.monotonic() > deadline:
            rows.append(f"| {size} | | | time was up | time was up | |")
            continue
        try:
            model = build(config).to(device)
            values, masked = cells_of(config, cells, device)
            apart = max(found := differences(model, values[:1], masked[:1]))
            said = f"{found[0]:.1e}, {found[1]:.1e}"
        except torch.OutOfMemoryError:
            rows.append(f"| {size} | | | out of memory | out of memory | |")
            save(rows)
            continue
        for choice in CHOICES:
            for compile_it in (False, True)[: 1 + compiled]:
                way = "compiled" if compile_it else "as it is"
                speeds = ("time was up",) * 2
                if choice == "fused" and apart > TOLERANCE:
                    speeds = ("differs",) * 2
                elif time.monotonic() < deadline:
                    model.set_attention(choice)
                    speeds = measure(model, values, masked, compiled=compile_it, repeats=repeats)
                rows.append(f"| {size} | {choice} | {way} | {speeds[0]} | {speeds[1]} | {said} |")
                print(rows[-1], flush=True)
        save(rows)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure on the first GPU."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.gpu")
    parser.add_argument("--output", type=Path, default=RESULTS / "gpu.md")
    parser.add_argument("--cells", type=int, default=4, help="cells a batch (default: 4)")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu needs a CUDA device, and PyTorch finds none: run it on a GPU")
    use_fused("fused")
    card, cells = torch.cuda.get_device_name(), options.cells
    rows = table(
        {name: ScLongConfig.preset(name) for name in PRESETS},
        torch.device("cuda"),
        cells=cells,
        repeats=5,
        compiled=True,
        save=lambda rows: write(options.output, card, cells, rows),
    )
    if any("differs" in row for row in rows):
        sys.exit(f"kernels differ from the products: see {options.output}")


def write(output: Path, card: str, cells: int, rows: list[str]) -> None:
    """Write the table with the name of the card."""
    head = "| size | attention | network | embedding | training | outputs, gradients differ by |"
    text = f"{card}, PyTorch {torch.__version__}, batches of {cells} cells, cells a second.\n"
    output.write_text("\n".join([text, head, "|---" * 6 + "|", *rows, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
