"""Gene networks: DeepSEM's step with a solve beside its authors' dense inverse.

``python -m benchmarks.grn`` trains one turn of DeepSEM (a step of the encoders, two of A, batches
of 64 cells) in each way, in turn and each in a process of its own, with the same weights and noise.
The original inverts ``I - A'`` in every step and takes all gradients in each, whatever the step
trains; so does ``dense inverse`` here. ``sclong-tasks`` factorises and solves, and takes the
gradients of what the step trains. With ``factors`` only transcription factors regulate, as many of
the genes as in human, so that what is factorised is a block of factors. Nothing is judged.
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import memory
from benchmarks.turns import TURNS, command, compare, heading
from sclong_tasks.batches import Batch
from sclong_tasks.grn.config import NetworkOptions
from sclong_tasks.grn.module import DeepSemModule, GrnLayer
from sclong_tasks.training import seeded

GENES, FACTORS, BATCH = 17_735, 1_563, 64
SMALL = 1_000
ROWS = 5_000
"""Genes of the larger comparison."""
_STEPS = (False, True, True)
"""Whether A is trained, in each step of a turn."""


def dense_loss(module: DeepSemModule, batch: Batch) -> Tensor:
    """The loss of the original: the whole batch through an inverse."""
    options, a = module.options, module.layer.weight
    both = torch.eye(len(a)) - a
    inverse = torch.inverse(both)
    values = batch["values"]
    out = module.encoder(torch.stack([values, torch.ones_like(values)], -1))
    mean, variance = out[..., 0] @ both, (out[..., 1] @ both).exp()
    z = mean + torch.randn_like(mean) * (variance + 1e-10).sqrt()
    decoded = module.decoder((z @ inverse).unsqueeze(-1)).squeeze(-1)
    one = torch.ones(1, 1)
    prior, spread = module.prior_mean(one) @ both, (module.prior_variance(one) @ both).exp()
    error = ((values - decoded).square() * batch["mask"]).sum() / batch["mask"].sum()
    divergence = (_log_normal(z, mean, variance) - _log_normal(z, prior, spread)).mean()
    loss: Tensor = error + options.beta * divergence + options.alpha * a.abs().mean()
    return loss


def solved_loss(module: DeepSemModule, batch: Batch) -> Tensor:
    """The loss of the package."""
    return module.loss(batch)


WAYS: dict[str, Callable[[DeepSemModule, Batch], Tensor]] = {
    "dense inverse": dense_loss,
    "sclong-tasks": solved_loss,
    "sclong-tasks, factors": solved_loss,
}
SAME = ("dense inverse", "sclong-tasks")
"""Ways that compute the same."""


def measure(way: str, rows: int) -> dict[str, Any]:
    """One turn of training on this many genes in this process, on one thread."""
    torch.set_num_threads(1)
    before = memory()["peak"]
    start = time.perf_counter()
    factors = max(2, rows * FACTORS // GENES) if way.endswith("factors") else rows
    with seeded(0):
        module = _module(factors, rows)
        cells = torch.randn(BATCH, rows)
        batch = {"values": cells, "mask": (cells > -1).float(), "cell": torch.arange(BATCH)}
        optimizers = module.configure_optimizers()
        ready = time.perf_counter()
        losses = []
        for on_network in _STEPS:
            if way != "dense inverse":
                module.take_turn(on_network=on_network)
            module.zero_grad()
            loss = WAYS[way](module, batch)
            loss.backward()
            optimizers[int(on_network)].step()
            losses.append(loss.item())
    return {
        "way": way,
        "rows": rows,
        "factors": factors,
        "seconds_to_prepare": ready - start,
        "seconds": (time.perf_counter() - ready) / len(_STEPS),
        "bytes_before": before,
        "bytes_peak": memory()["peak"],
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }


def _module(factors: int, genes: int) -> DeepSemModule:
    first = torch.rand(factors, genes) * 2e-4 + 1 / genes
    return DeepSemModule(GrnLayer(first, torch.arange(factors)), NetworkOptions(), 1e-4)


def run(rows: int = ROWS, *, turns: int = TURNS) -> dict[str, Any]:
    """All ways at each size; at all genes, where an inverse takes too long, those that solve."""
    sizes = sorted({min(SMALL, rows), rows})
    parts = [
        compare("benchmarks.grn", WAYS, same=SAME, rows=size, turns=turns if size == SMALL else 1)
        for size in sizes
    ]
    if rows >= ROWS:
        solving = [way for way in WAYS if way != SAME[0]]
        parts.append(compare("benchmarks.grn", solving, same=SAME[1:], rows=GENES, turns=1))
    together = {**parts[0], "measurements": [row for one in parts for row in one["measurements"]]}
    differences = [one["largest_difference_of_losses"] for one in parts]
    return {**together, "largest_difference_of_losses": max(differences)}


def lines(results: dict[str, Any]) -> Iterable[str]:
    """The report."""
    rows = results["measurements"]
    yield from heading("Gene networks: a step of DeepSEM", results)
    yield (
        f"{BATCH} cells, the published widths, one thread. Ways ran in turn, each in a process of "
        f"its own: {results['turns']} times at {min(row['rows'] for row in rows):,} genes, once "
        "at more. Seconds are the mean over one step of the encoders and two of A. Memory is the "
        "peak of the process beyond what it had after imports. Dense inverse and all genes "
        "compute the same: their losses differ by at most "
        f"{results['largest_difference_of_losses']:.1e}. With factors alone it is the network of "
        f"{FACTORS:,} factors and {GENES:,} genes, or as many in proportion. What is not in the "
        "table was not measured."
    )
    yield ""
    yield "| genes | regulators | way | s a step | times as fast | MB |"
    yield "| --- | --- | --- | --- | --- | --- |"
    slow = {row["rows"]: row["seconds"] for row in rows if row["way"] == "dense inverse"}
    for row in rows:
        times = f"{slow[row['rows']] / row['seconds']:.1f}" if row["rows"] in slow else ""
        yield (
            f"| {row['rows']:,} | {row['factors']:,} | {row['way']} | {row['seconds']:.2f} | "
            f"{times} | {(row['bytes_peak'] - row['bytes_before']) / 1e6:.0f} |"
        )


def _log_normal(z: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    wide = variance + 1e-8
    return -0.5 * (math.log(2 * math.pi) + wide.log() + (z - mean).square() / wide).mean(-1)


if __name__ == "__main__":
    command("grn", globals())
