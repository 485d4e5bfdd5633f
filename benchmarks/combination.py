"""An epoch of drug combination: each distinct drug of a batch once, beside a graph for each row.

``python -m benchmarks.combination`` trains one epoch at the published size (12,415 rows of 36 drugs
and 31 cell lines with 954 genes, batches of 256) both ways, in turn and each in a process of its
own, with the same weights, rows and order. DeepDDS holds two graphs and a copy of the cell line's
expression for every row, and runs its graph network over all of them; so does ``a graph a row``
here. Drugs are made up with as many atoms as the real ones have in the mean. Nothing is judged.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_max_pool

from benchmarks.turns import TURNS, Losses, command, compare, heading, train
from sclong_tasks.batches import row_batches
from sclong_tasks.chemistry.graphs import DrugGraphs, GraphTable, drug_graphs
from sclong_tasks.chemistry.molecules import read_molecules
from sclong_tasks.drug_combination.module import CombinationModule, NetworkShape
from sclong_tasks.encoders.slots import TableSlot
from sclong_tasks.training import Schedule

ROWS, DRUGS, LINES, GENES, BATCH = 12_415, 36, 31, 954, 256
_UNIT = "c1ccc(cc1)C(=O)N"
_TAILS = ("C", "CC", "CCC", "CO", "CCO", "CN", "CCl", "CF", "C#N", "CS", "C=C", "CC=O")


def made_up_drugs(count: int) -> DrugGraphs:
    """Chains of two to five benzamides: 32 heavy atoms in the mean, as O'Neil's 36 drugs have."""
    smiles = {}
    for number in range(count):
        units, tail = 2 + number % 4, _TAILS[(number // 4) % len(_TAILS)]
        smiles[f"drug{number}"] = _UNIT * units + tail
    return drug_graphs(read_molecules(smiles), "deepdds")


class Problem:
    """Rows, drugs, expression, and a network whose weights the seed decides."""

    def __init__(self, rows: int) -> None:
        generator = np.random.default_rng(0)
        self.graphs = made_up_drugs(DRUGS)
        self.expression = generator.gamma(1.0, 20.0, (LINES, GENES)).astype(np.float32)
        self.columns = {
            "first": torch.from_numpy(generator.integers(DRUGS, size=rows)),
            "second": torch.from_numpy(generator.integers(DRUGS, size=rows)),
            "cell": torch.from_numpy(generator.integers(LINES, size=rows)),
            "synergy": torch.from_numpy(generator.integers(2, size=rows)),
        }

    def module(self, *, symmetric: bool) -> CombinationModule:
        """DeepDDS's network, without dropout: its draws would differ between the ways."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            shape = NetworkShape(dropout=0.0, symmetric=symmetric, cell_scaling="length")
            slot = TableSlot(self.expression)
            return CombinationModule(shape, Schedule(), GraphTable(self.graphs), slot)


def distinct_drugs(
    problem: Problem, *, symmetric: bool = False
) -> tuple[CombinationModule, Losses]:
    """As the package does it."""
    module = problem.module(symmetric=symmetric)

    def losses() -> Iterator[Tensor]:
        for batch in row_batches(problem.columns, BATCH):
            yield nn.functional.cross_entropy(module(batch), batch["synergy"])

    return module, losses


def graph_a_row(problem: Problem) -> tuple[CombinationModule, Losses]:
    """As DeepDDS does it: two graphs and an expression vector for every row."""
    module, columns = problem.module(symmetric=False), problem.columns
    expression = torch.from_numpy(problem.expression)

    def row(drug: int, cell: int, synergy: int) -> Data:
        graph = problem.graphs.data(drug)
        return Data(
            x=graph.x,
            edge_index=graph.edge_index,
            cell=expression[cell].clone()[None],
            y=torch.tensor([synergy]),
        )

    def rows(name: str) -> list[Data]:
        every = zip(*(columns[key].tolist() for key in (name, "cell", "synergy")), strict=True)
        return [row(*one) for one in every]

    loaders = [DataLoader(rows(name), batch_size=BATCH) for name in ("first", "second")]

    def encode(batch: Batch) -> Tensor:
        x = batch.x
        for convolution in module.convolutions:
            x = torch.relu(convolution(x, batch.edge_index))
        encoded: Tensor = module.drug(global_max_pool(x, batch.batch))
        return encoded

    def losses() -> Iterator[Tensor]:
        for first, second in zip(*loaders, strict=True):
            cell = module.cell(nn.functional.normalize(first.cell, p=2, dim=1))
            logits = module.head(torch.cat([encode(first), encode(second), cell], dim=1))
            yield nn.functional.cross_entropy(logits, first.y)

    return module, losses


WAYS: dict[str, Callable[[Problem], tuple[CombinationModule, Losses]]] = {
    "a graph a row": graph_a_row,
    "sclong-tasks": distinct_drugs,
    "sclong-tasks, symmetric": lambda problem: distinct_drugs(problem, symmetric=True),
}
SAME = [way for way in WAYS if not way.endswith("symmetric")]
"""Ways that compute the same."""


def measure(way: str, rows: int) -> dict[str, Any]:
    """One epoch of training in this process."""
    found = train(lambda: WAYS[way](Problem(rows)), 1e-4)
    return {"way": way, "rows": rows, **found}


def run(rows: int = ROWS, *, turns: int = TURNS) -> dict[str, Any]:
    """All ways in turn."""
    return compare("benchmarks.combination", WAYS, same=SAME, rows=rows, turns=turns)


def lines(results: dict[str, Any]) -> Iterable[str]:
    """The report."""
    rows = {row["way"]: row for row in results["measurements"]}
    slow = rows["a graph a row"]
    yield from heading("Drug combination: an epoch at published size", results)
    difference = results["largest_difference_of_losses"]
    yield (
        f"{slow['rows']:,} rows of {DRUGS} drugs and {LINES} cell lines with {GENES} genes, "
        f"batches of {BATCH}, one thread, training without dropout. The ways ran in turn, each "
        f"epoch in a process of its own; times are medians of {results['turns']}. Memory is the "
        "peak of the process beyond what it had after imports. The first two compute the same: "
        f"their losses differ by at most {difference:.1e} over the epoch."
    )
    yield ""
    yield "| way | s an epoch | times as fast | s to prepare | MB |"
    yield "| --- | --- | --- | --- | --- |"
    for way, row in rows.items():
        yield (
            f"| {way} | {row['seconds']:.2f} | {slow['seconds'] / row['seconds']:.1f} | "
            f"{row['seconds_to_prepare']:.2f} | "
            f"{(row['bytes_peak'] - row['bytes_before']) / 1e6:.0f} |"
        )


if __name__ == "__main__":
    command("combination", globals())
