"""Genetic perturbation: what a batch shares computed once, beside a graph for each cell.

``python -m benchmarks.perturbation`` trains GEARS at the size of Norman's screen (5,045 genes, 138
training conditions, batches of 32, width 64) both ways, in turn and each in a process of its own,
with the same weights, cells and order. GEARS holds an object for each cell with a row for each
gene, and computes gene vectors, graph convolutions and the vector of all genes anew for each row;
so does ``a graph a cell`` here. In its code the co-expression graph reaches the first cell of a
batch alone, so that the two ways that compute the same have no such edges. Cells are made up.
Nothing is judged.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from benchmarks.turns import TURNS, Losses, command, compare, heading, train
from sclong_core.graph import GeneGraph
from sclong_tasks.batches import row_batches
from sclong_tasks.genetic_perturbation.module import (
    LearntGenes,
    Optimisation,
    PerturbationModule,
    gears_loss,
)

EPOCH, GENES, CONDITIONS, HIDDEN, BATCH, NEIGHBOURS = 51_283, 5_045, 137, 64, 32, 20
CONTROL_SHARE = 0.14
"""Of training cells that are control cells in the split of seed 1."""
ROWS = 160


def neighbours(genes: int, count: int, generator: np.random.Generator) -> GeneGraph:
    """Each gene with itself and with others drawn at random."""
    every = np.arange(genes)
    step = 1 + generator.permutation(genes - 1)[:count]
    source = np.concatenate([every, *((every + one) % genes for one in step)])
    edges = np.stack([source, np.tile(every, count + 1)])
    weights = generator.uniform(0.4, 1.0, size=(edges.shape[1],))
    weights[:genes] = 1.0
    return GeneGraph(genes, edges, weights.astype(np.float32))


class Problem:
    """Cells, conditions, graphs, and a network whose weights the seed decides."""

    def __init__(self, rows: int, *, genes: int = GENES, edges: bool = False) -> None:
        generator = np.random.default_rng(0)
        self.genes = genes
        condition = generator.integers(CONDITIONS, size=rows)
        condition[generator.random(rows) < CONTROL_SHARE] = CONDITIONS
        first, other = generator.integers([genes, genes - 1], size=(CONDITIONS + 1, 2)).T
        targets = np.stack([first, (first + 1 + other) % genes], axis=1)
        targets[: CONDITIONS // 2, 1] = -1
        targets[CONDITIONS] = -1
        self.columns = {
            "x": torch.from_numpy(generator.gamma(0.3, 1.0, (rows, genes)).astype(np.float32)),
            "y": torch.from_numpy(generator.gamma(0.3, 1.0, (rows, genes)).astype(np.float32)),
            "control": torch.arange(rows),
            "condition": torch.from_numpy(condition),
            "targets": torch.from_numpy(targets[condition]),
        }
        self.annotations = neighbours(genes, NEIGHBOURS, generator)
        self.coexpression = neighbours(genes, NEIGHBOURS if edges else 0, generator)
        self.kept = torch.ones(CONDITIONS + 1, genes, dtype=torch.bool)
        self.mean = self.columns["x"].mean(0)

    def module(self) -> PerturbationModule:
        """The published widths."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            vectors = LearntGenes(self.coexpression, HIDDEN)
            return PerturbationModule(vectors, self.genes, self.annotations, HIDDEN, Optimisation())

    def loss(self, predicted: Tensor, true: Tensor, condition: Tensor) -> Tensor:
        """GEARS's."""
        return gears_loss(predicted, true, condition, self.kept[condition], self.mean)


def shared(problem: Problem) -> tuple[PerturbationModule, Losses]:
    """As the package does it."""
    module = problem.module()

    def losses() -> Iterator[Tensor]:
        for batch in row_batches(problem.columns, BATCH):
            yield problem.loss(batch["x"] + module(batch), batch["y"], batch["condition"])

    return module, losses


def graph_a_cell(problem: Problem) -> tuple[PerturbationModule, Losses]:
    """As GEARS does it: an object a cell, whose rows are genes."""
    module, columns = problem.module(), problem.columns
    cells = [
        Data(
            x=torch.stack([columns["x"][cell], marks(columns["targets"][cell], problem.genes)], 1),
            y=columns["y"][cell][None],
            condition=columns["condition"][cell][None],
        )
        for cell in range(len(columns["x"]))
    ]

    def losses() -> Iterator[Tensor]:
        for batch in DataLoader(cells, batch_size=BATCH):
            change = changes(module, batch.x, batch.num_graphs)
            predicted = batch.x[:, 0].view(batch.num_graphs, -1) + change
            yield problem.loss(predicted, batch.y, batch.condition)

    return module, losses


def marks(targets: Tensor, genes: int) -> Tensor:
    """1 at perturbed genes."""
    found = torch.zeros(genes)
    found[targets[targets >= 0]] = 1.0
    return found


def changes(module: PerturbationModule, x: Tensor, cells: int) -> Tensor:
    """The network over rows of genes, with nothing shared between cells."""
    vectors, perturbations, decoder = module.genes, module.perturbations, module.decoder
    assert isinstance(vectors, LearntGenes)
    every = torch.arange(module.measured).repeat(cells)
    own = torch.relu(vectors.norm(vectors.own(every)))
    position = vectors.convolution(vectors.position(every), vectors.edges, vectors.weights)
    base = vectors.mix(own + 0.2 * position).view(cells, module.measured, -1)
    genes = perturbations.convolution(
        perturbations.vectors(torch.arange(module.measured)),
        perturbations.edges,
        perturbations.weights,
    )
    flags = x[:, 1].view(cells, -1)
    summed = {
        cell: genes[torch.where(flags[cell])[0]].sum(0)
        for cell in range(cells)
        if flags[cell].any()
    }
    mixed = perturbations.mix(torch.stack(list(summed.values())))
    added = torch.zeros(cells, mixed.shape[1]).index_put((torch.tensor(list(summed)),), mixed)
    combined = (base + added[:, None]).view(cells * module.measured, -1)
    combined = combined + module.flag(x[:, 1:])
    for norm in module.combine:
        combined = torch.relu(norm(combined))
    out = decoder.shared(combined).view(cells, module.measured, -1)
    out = (out.unsqueeze(-1) * decoder.weight_1).sum(2) + decoder.bias_1
    together = decoder.together(out.squeeze(2)).repeat(1, module.measured)
    joined = torch.cat([out, together.view(cells, module.measured, -1)], 2)
    found: Tensor = (joined * decoder.weight_2).sum(2) + decoder.bias_2
    return found


WAYS: dict[str, Callable[[int], tuple[nn.Module, Losses]]] = {
    "a graph a cell": lambda rows: graph_a_cell(Problem(rows)),
    "sclong-tasks": lambda rows: shared(Problem(rows)),
    "sclong-tasks, with co-expression": lambda rows: shared(Problem(rows, edges=True)),
}
SAME = [way for way in WAYS if not way.endswith("co-expression")]
"""Ways that compute the same."""


def measure(way: str, rows: int) -> dict[str, Any]:
    """Training on these rows in this process."""
    found = train(lambda: WAYS[way](rows), 1e-3)
    return {"way": way, "rows": rows, **found}


def run(rows: int = ROWS, *, turns: int = TURNS) -> dict[str, Any]:
    """All ways in turn."""
    return compare("benchmarks.perturbation", WAYS, same=SAME, rows=rows, turns=turns)


def lines(results: dict[str, Any]) -> Iterable[str]:
    """The report."""
    rows = {row["way"]: row for row in results["measurements"]}
    slow = rows["a graph a cell"]
    yield from heading("Genetic perturbation: GEARS at the size of Norman's screen", results)
    yield (
        f"{slow['rows']:,} cells of {CONDITIONS} conditions and the control, {GENES:,} genes, "
        f"width {HIDDEN}, batches of {BATCH}, one thread. The ways ran in turn, each in a process "
        f"of its own; times are medians of {results['turns']}. An epoch is what {EPOCH:,} cells "
        "would take at that rate. Memory is the peak of the process beyond what it had after "
        "imports. The first two compute the same, without edges of co-expression, which GEARS's "
        f"code applies to the first cell of a batch alone: their losses differ by at most "
        f"{results['largest_difference_of_losses']:.1e}, and are about {slow['last_loss']:.2g}."
    )
    yield ""
    yield "| way | s | h an epoch | times as fast | MB |"
    yield "| --- | --- | --- | --- | --- |"
    for way, row in rows.items():
        yield (
            f"| {way} | {row['seconds']:.2f} | {row['seconds'] / row['rows'] * EPOCH / 3600:.1f} | "
            f"{slow['seconds'] / row['seconds']:.1f} | "
            f"{(row['bytes_peak'] - row['bytes_before']) / 1e6:.0f} |"
        )


if __name__ == "__main__":
    command("perturbation", globals())
