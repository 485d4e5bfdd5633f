"""Drug response: each distinct drug of a batch once, beside a padded graph for each row.

``python -m benchmarks.response`` trains with the published batches (64 rows, 223 drugs, 561 cell
lines with 697 genes) both ways, in turn and each in a process of its own, with the same weights,
rows and order. DeepCDR pads each drug to 100 atoms, holds features and a dense adjacency for every
row, and runs its graph network over all of them; so does ``a padded graph a row`` here. Drugs are
made up with about as many atoms as the real ones have in the mean. Nothing is judged.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from benchmarks.combination import made_up_drugs
from benchmarks.turns import TURNS, Losses, command, compare, heading, train
from sclong_tasks.batches import row_batches
from sclong_tasks.chemistry.graphs import DrugGraphs, GraphTable
from sclong_tasks.drug_response.config import NetworkOptions
from sclong_tasks.drug_response.module import DeepCdrModule
from sclong_tasks.encoders.slots import TableSlot

EPOCH, DRUGS, LINES, GENES, BATCH, SLOTS = 102_074, 223, 561, 697, 64, 100
ROWS = 3_200


class Problem:
    """Rows, drugs, expression, and a network whose weights the seed decides."""

    def __init__(self, rows: int) -> None:
        generator = np.random.default_rng(0)
        self.graphs: DrugGraphs = made_up_drugs(DRUGS)
        self.expression = generator.gamma(1.0, 2.0, (LINES, GENES)).astype(np.float32)
        self.columns = {
            "drug": torch.from_numpy(generator.integers(DRUGS, size=rows)),
            "line": torch.from_numpy(generator.integers(LINES, size=rows)),
            "target": torch.from_numpy(generator.normal(2, 2.7, rows).astype(np.float32)),
        }

    def module(self) -> DeepCdrModule:
        """The published widths, without dropout and batch normalisation.

        Dropout draws, and statistics over padding and repeated drugs, would differ.
        """
        options = NetworkOptions(graph_layers=[256, 256, 256, 100], padded_atoms=SLOTS, dropout=0.0)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            module = DeepCdrModule(
                options, 1e-3, GraphTable(self.graphs), TableSlot(self.expression)
            )
        module.drug.norms = nn.ModuleList(nn.Identity() for _ in module.drug.norms)
        module.cell[2] = nn.Identity()
        for layer in module.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        return module


def distinct_drugs(problem: Problem) -> tuple[DeepCdrModule, Losses]:
    """As the package does it."""
    module = problem.module()

    def losses() -> Iterator[Tensor]:
        for batch in row_batches(problem.columns, BATCH):
            yield nn.functional.mse_loss(module(batch), batch["target"])

    return module, losses


def padded_graph_a_row(problem: Problem) -> tuple[DeepCdrModule, Losses]:
    """As DeepCDR does it: ``(rows, 100, features)`` and ``(rows, 100, 100)`` beside the rows."""
    module, columns = problem.module(), problem.columns
    features, adjacency, atoms = (part[columns["drug"]] for part in padded(problem.graphs))
    expression = torch.from_numpy(problem.expression)[columns["line"]]

    def losses() -> Iterator[Tensor]:
        for start in range(0, len(columns["drug"]), BATCH):
            here = slice(start, start + BATCH)
            x = features[here]
            for convolution in module.drug.convolutions:
                assert isinstance(convolution, GCNConv)
                assert convolution.bias is not None
                x = torch.relu(adjacency[here] @ convolution.lin(x) + convolution.bias)
            drug = (x * atoms[here, :, None]).sum(1) / SLOTS
            cell = module.cell(expression[here])
            predicted = module.head(torch.cat([drug, cell], dim=1)).squeeze(1)
            yield nn.functional.mse_loss(predicted, columns["target"][here])

    return module, losses


def padded(graphs: DrugGraphs) -> tuple[Tensor, Tensor, Tensor]:
    """Features, normalised adjacency with self loops, and which places are atoms, of each drug."""
    features = torch.zeros(len(graphs), SLOTS, graphs.x.shape[1])
    adjacency = torch.eye(SLOTS).repeat(len(graphs), 1, 1)
    atoms = torch.zeros(len(graphs), SLOTS)
    for place in range(len(graphs)):
        data = graphs.data(place)
        count = len(data.x)
        features[place, :count], atoms[place, :count] = data.x, 1.0
        adjacency[place, data.edge_index[1], data.edge_index[0]] = 1.0
    scale = adjacency.sum(2).rsqrt()
    return features, scale[:, :, None] * adjacency * scale[:, None, :], atoms


WAYS: dict[str, Callable[[Problem], tuple[DeepCdrModule, Losses]]] = {
    "a padded graph a row": padded_graph_a_row,
    "sclong-tasks": distinct_drugs,
}
SAME = WAYS
"""Ways that compute the same."""


def measure(way: str, rows: int) -> dict[str, Any]:
    """Training on these rows in this process."""
    found = train(lambda: WAYS[way](Problem(rows)), 1e-3)
    return {"way": way, "rows": rows, **found}


def run(rows: int = ROWS, *, turns: int = TURNS) -> dict[str, Any]:
    """Both ways in turn."""
    return compare("benchmarks.response", WAYS, same=SAME, rows=rows, turns=turns)


def lines(results: dict[str, Any]) -> Iterable[str]:
    """The report."""
    rows = {row["way"]: row for row in results["measurements"]}
    slow = rows["a padded graph a row"]
    held = EPOCH * (SLOTS * 75 + SLOTS * SLOTS) * 4 / 1e9
    yield from heading("Drug response: training at published size", results)
    yield (
        f"{slow['rows']:,} rows of {DRUGS} drugs and {LINES} cell lines with {GENES} genes, "
        f"batches of {BATCH}, one thread, without dropout and batch normalisation. Both ways ran "
        f"in turn, each in a process of its own; times are medians of {results['turns']}. An "
        f"epoch is what {EPOCH:,} rows would take at that rate. Memory is the peak of the process "
        "beyond what it had after imports; with all rows of an epoch the padded graphs alone take "
        f"{held:.1f} GB, which is not measured. Both compute the same: their losses differ by at "
        f"most {results['largest_difference_of_losses']:.1e}."
    )
    yield ""
    yield "| way | s | s an epoch | times as fast | MB |"
    yield "| --- | --- | --- | --- | --- |"
    for way, row in rows.items():
        yield (
            f"| {way} | {row['seconds']:.2f} | {row['seconds'] / row['rows'] * EPOCH:.0f} | "
            f"{slow['seconds'] / row['seconds']:.1f} | "
            f"{(row['bytes_peak'] - row['bytes_before']) / 1e6:.0f} |"
        )


if __name__ == "__main__":
    command("response", globals())
