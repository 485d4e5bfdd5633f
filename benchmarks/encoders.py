"""Published encoders at their published sizes, beside their authors' way of running them.

``python -m benchmarks.encoders`` embeds cells with random weights both ways, in turn and each in a
process of its own on one thread. The authors' way is written here from what is known of it: cells
in the order of the file, padded to the longest of the batch (GeneCompass: to the most genes, and
unmasked; scFoundation: one cell at a time; Geneformer: longest first, all layers kept), and
attention that holds its scores. Ours puts cells of nearly one length together and leaves attention
to PyTorch's own kernel. Nothing is judged.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import load_average, memory
from benchmarks.turns import TURNS, circumstances, command, heading, measured_apart
from sclong_tasks.encoders.genecompass import PRIORS, GeneCompass, GeneCompassOptions, GeneNames
from sclong_tasks.encoders.geneformer import BertSizes, Geneformer
from sclong_tasks.encoders.layers import Attention
from sclong_tasks.encoders.published_model import (
    CellTokens,
    PublishedModel,
    batches_by_length,
    collate,
)
from sclong_tasks.encoders.scfoundation import ScFoundation, ScFoundationSizes
from sclong_tasks.encoders.scgpt import ScGpt, ScGptSizes
from sclong_tasks.encoders.uce import Uce, UceOptions, UceSizes
from sclong_tasks.encoders.uce_genes import ProteinGenes

ROWS = 4
"""Cells; of UCE with 33 layers a quarter."""
EXPRESSED = (1700, 600, 1100, 3200)
"""Genes that the cells express and the model knows, in turn."""
BATCH = 8
SENTENCE = 1073
"""Tokens of UCE: 1,024 draws, the marks of 24 chromosomes, and one more."""
TOKEN_ROWS = 4000
"""Of UCE's matrix of proteins, of which the published one has 145,469: rows are looked up, and no
more of it is computed with."""


@dataclass(frozen=True)
class Published:
    """A model at a published size."""

    title: str
    make: Callable[[bool], PublishedModel]
    """With the original's padding, or without."""
    limit: int
    """Tokens of a cell at most."""
    quarter: bool = False
    """A quarter of the cells: it takes long."""
    alone: bool = False
    """Its authors compute one cell at a time."""
    longest_first: bool = False
    rows: int = 0
    """Rows that are not made here, in parameters."""


def _geneformer(layers: int, width: int, vocabulary: int, positions: int) -> Geneformer:
    sizes = BertSizes(vocabulary, width, width // 64, 2 * width, layers, positions)
    return Geneformer(sizes, {"<pad>": 0}, {})


def _uce(layers: int, *, padded: bool) -> Uce:
    sizes = UceSizes(TOKEN_ROWS, 5120, 1280, 20, 5120, layers, 1024, 1280, 1536)
    options = UceOptions(padding="original" if padded else "none")
    return Uce(sizes, ProteinGenes({}, {}, frozenset(), TOKEN_ROWS), options=options)


def _genecompass(*, padded: bool) -> GeneCompass:
    sizes = BertSizes(50_558, 768, 12, 3072, 12, 2048, activation="gelu")
    options = GeneCompassOptions(padding="original" if padded else "none")
    names = GeneNames({}, {}, {})
    return GeneCompass(sizes, dict.fromkeys(PRIORS, 768), names, options=options)


def _scfoundation() -> ScFoundation:
    sizes = ScFoundationSizes(
        genes=19_264,
        width=768,
        heads=12,
        layers=12,
        hidden=3072,
        bins=100,
        bin_alpha=1.0,
        pad_value=103.0,
        mask_value=102.0,
        decoder_width=512,
        decoder_heads=8,
        decoder_layers=6,
        decoder_head_width=64,
        features=266,
    )
    return ScFoundation(sizes, [])


MODELS = {
    "scgpt": Published(
        "scGPT, whole human",
        lambda _padded: ScGpt(ScGptSizes(60_697, 512, 8, 512, 12), {"<pad>": 60_694}),
        1200,
    ),
    "geneformer_v1": Published(
        "Geneformer V1, 6 layers",
        lambda _padded: _geneformer(6, 256, 25_426, 2048),
        2048,
        longest_first=True,
    ),
    "geneformer_v2": Published(
        "Geneformer V2, 12 layers (95M)",
        lambda _padded: _geneformer(12, 512, 20_275, 4096),
        4096,
        longest_first=True,
    ),
    "uce_4": Published(
        "UCE, 4 layers", lambda padded: _uce(4, padded=padded), 1536, rows=145_469 - TOKEN_ROWS
    ),
    "scfoundation": Published(
        "scFoundation, vectors of cells", lambda _padded: _scfoundation(), 19_266, alone=True
    ),
    "genecompass": Published("GeneCompass, base", lambda padded: _genecompass(padded=padded), 2048),
    "uce_33": Published(
        "UCE, 33 layers",
        lambda padded: _uce(33, padded=padded),
        1536,
        quarter=True,
        rows=145_469 - TOKEN_ROWS,
    ),
}
SAME = ("scgpt", "geneformer_v1", "geneformer_v2", "uce_4", "uce_33", "scfoundation")
"""Models whose vectors are the same both ways: UCE's cells have one length here."""


class HeldScores(Attention):
    """Attention that holds the scores of all pairs of tokens."""

    def forward(self, x_bnd: Tensor, mask: Tensor | None) -> Tensor:
        """Attend."""
        b, n, d = x_bnd.shape
        q, k, v = self.qkv(x_bnd).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5
        if mask is not None:
            bias = mask if mask.dtype != torch.bool else torch.where(mask, 0.0, -torch.inf)
            scores = scores + bias
        found = scores.softmax(-1) @ v
        return self.output(found.transpose(1, 2).reshape(b, n, d))  # type: ignore[no-any-return]


def made_up_cells(name: str, model: PublishedModel, count: int) -> list[CellTokens]:
    """Tokens of cells of several lengths, as the model takes them."""
    generator, published = np.random.default_rng(0), MODELS[name]
    cells = []
    for number in range(count):
        length = min(EXPRESSED[number % len(EXPRESSED)], published.limit)
        if isinstance(model, Uce):
            ids = generator.integers(4, TOKEN_ROWS, SENTENCE)
            cells.append(CellTokens(ids, np.arange(len(ids))))
            continue
        size = model.genes if isinstance(model, ScFoundation) else 20_000
        ids = np.sort(generator.choice(size - 4, length, replace=False) + 4)
        genes, values = np.arange(length), generator.uniform(0.5, 5, length).astype(np.float32)
        if isinstance(model, ScFoundation):
            ids = np.concatenate([ids, [model.genes, model.genes + 1]])
            genes = np.concatenate([genes, [-1, -1]])
            values = np.concatenate([values, [4.0, 3.5]]).astype(np.float32)
        takes_none = isinstance(model, Geneformer)
        cells.append(CellTokens(ids, genes, None if takes_none else values))
    return cells


def ours(_name: str, model: PublishedModel, cells: Sequence[CellTokens]) -> Tensor:
    """As the package does it."""
    found = torch.empty(len(cells), model.width)
    for rows in batches_by_length(cells, BATCH, in_order=False):
        batch = collate([cells[row] for row in rows], model, torch.device("cpu"))
        found[torch.from_numpy(rows)] = model(batch)
    return found


def authors(name: str, model: PublishedModel, cells: Sequence[CellTokens]) -> Tensor:
    """As their authors do it."""
    published = MODELS[name]
    for module in model.modules():
        if isinstance(module, Attention):
            module.__class__ = HeldScores
    if isinstance(model, GeneCompass):
        cells = [_filled(cell, model.limit) for cell in cells]
    order = np.arange(len(cells))
    if published.longest_first:
        order = np.argsort([-len(cell.ids) for cell in cells], kind="stable")
    size = 1 if published.alone else max(BATCH, len(cells))
    found = torch.empty(len(cells), model.width)
    for start in range(0, len(cells), size):
        rows = order[start : start + size]
        batch = collate([cells[row] for row in rows], model, torch.device("cpu"))
        if isinstance(model, Geneformer):
            states = model.hidden_states(batch)
            model.layers[-1](states[-1], batch.mask)  # computed, and passed over
            found[torch.from_numpy(rows)] = model.pool(states[-1], batch)
        else:
            found[torch.from_numpy(rows)] = model(batch)
    return found


def _filled(cell: CellTokens, length: int) -> CellTokens:
    more = length - len(cell.ids)
    assert cell.values is not None
    return CellTokens(
        np.concatenate([cell.ids, np.zeros(more, np.int64)]),
        np.concatenate([cell.genes, np.full(more, -1)]),
        np.concatenate([cell.values, np.zeros(more, np.float32)]),
    )


WAYS = {"its authors' way": authors, "sclong-tasks": ours}


def make_model(name: str, *, padded: bool) -> PublishedModel:
    """A model with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return MODELS[name].make(padded).eval()


def cells_of(name: str, rows: int) -> int:
    """How many cells are embedded."""
    return max(1, rows // 4) if MODELS[name].quarter else rows


def measure(way: str, rows: int, model: str = "scgpt") -> dict[str, Any]:
    """Embedding cells in this process, on one thread."""
    torch.set_num_threads(1)
    made = make_model(model, padded=WAYS[way] is authors)
    cells = made_up_cells(model, made, cells_of(model, rows))
    before = memory()["peak"]
    with torch.inference_mode():
        start, busy = time.perf_counter(), time.process_time()
        found = WAYS[way](model, made, cells)
        wall, cpu = time.perf_counter() - start, time.process_time() - busy
    parameters = sum(parameter.numel() for parameter in made.parameters())
    return {
        "model": model,
        "way": way,
        "cells": len(cells),
        "seconds": wall,
        "cpu_seconds": cpu,
        "bytes_before": before,
        "bytes_peak": memory()["peak"],
        "parameters": parameters + MODELS[model].rows * 5120,
        "vectors": found[:, :4].double().tolist(),
    }


def run(rows: int = ROWS, *, turns: int = TURNS, models: Iterable[str] = MODELS) -> dict[str, Any]:
    """Both ways of every model, in turn."""
    load, found = load_average(), []
    for model in models:
        # What takes long is not repeated: a cell of 33 layers takes half a minute.
        for _ in range(1 if MODELS[model].quarter else turns):
            for way in WAYS:
                found.append(measured_apart("benchmarks.encoders", way=way, rows=rows, model=model))
                print(f"{model}, {way}: {found[-1]['cpu_seconds']:.2f} s")
    return {
        **circumstances(load, turns),
        "largest_difference": _difference(found),
        "measurements": [
            _least(found, model, way)
            for model in dict.fromkeys(row["model"] for row in found)
            for way in WAYS
        ],
    }


def _difference(found: Sequence[dict[str, Any]]) -> float:
    """The largest between both ways, of the vectors' first numbers, relative to their size."""
    largest = 0.0
    for name in SAME:
        vectors = [np.array(row["vectors"]) for row in found if row["model"] == name]
        for other in vectors[1:]:
            size = np.abs(vectors[0]).max()
            largest = max(largest, float(np.abs(vectors[0] - other).max() / size))
    return largest


def _least(found: Sequence[dict[str, Any]], model: str, way: str) -> dict[str, Any]:
    """The turn with the least processor time: others were disturbed more."""
    rows = [row for row in found if (row["model"], row["way"]) == (model, way)]
    best = min(rows, key=lambda row: float(row["cpu_seconds"]))
    peak = max(int(row["bytes_peak"]) for row in rows)
    kept = {name: value for name, value in best.items() if name != "vectors"}
    return {**kept, "bytes_peak": peak, "all_cpu_seconds": [row["cpu_seconds"] for row in rows]}


def lines(results: dict[str, Any]) -> Iterable[str]:
    """The report."""
    rows = {(row["model"], row["way"]): row for row in results["measurements"]}
    first, *_ = WAYS
    cells = max(row["cells"] for row in results["measurements"])
    yield from heading("Published encoders: embedding at published size", results)
    lengths = ", ".join(f"{size:,}" for size in EXPRESSED[:cells])
    turns = f"{results['turns']} turn{'s' * (results['turns'] > 1)}"
    yield (
        f"Random weights, float32, {cells} cells (of UCE with 33 layers one) of {lengths} known "
        "expressed genes in turn, cut to what the model takes; UCE has sentences of "
        f"{SENTENCE:,} tokens. Both ways ran in turn, each in a process of its own on one thread. "
        f"s a cell is processor time, the least of {turns} (of UCE with 33 layers, one turn), "
        "which other work on the machine disturbs less than the clock; cells/s is what two cores "
        "give at that rate. Memory is the peak of the process beyond the weights. Where both ways "
        "compute the same, vectors differ by at most "
        f"{results['largest_difference']:.0e} of the largest number."
    )
    yield ""
    yield "| model | parameters | way | s a cell | cells/s, two cores | times as fast | MB |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for (model, way), row in rows.items():
        slow, seconds = rows[model, first], row["cpu_seconds"] / row["cells"]
        ratio = slow["cpu_seconds"] / slow["cells"] / seconds
        yield (
            f"| {MODELS[model].title} | {row['parameters'] / 1e6:,.0f}M | {way} | {seconds:.2f} | "
            f"{2 / seconds:.2f} | {ratio:.1f} | "
            f"{(row['bytes_peak'] - row['bytes_before']) / 1e6:,.0f} |"
        )


if __name__ == "__main__":
    command("encoders", globals())
