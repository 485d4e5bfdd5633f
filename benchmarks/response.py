"""Drug response: each distinct drug of a batch once, beside a padded graph for each row.

``python -m benchmarks.response`` trains with the published batches (64 rows, 223 drugs, 561 cell
lines with 697 genes) both ways, in turn and each in a process of its own, with the same weights,
rows and order. DeepCDR pads each drug to 100 atoms, holds features and a dense adjacency for every
row, and runs its graph network over all of them; so does ``a padded graph a row`` here. Drugs are
made up with about as many atoms as the real ones have in the mean. Nothing is judged.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from benchmarks.combination import made_up_drugs
from benchmarks.machine import (
    ROOT,
    current_commit,
    describe_machine,
    load_average,
    machine_in_words,
    memory,
)
from sclong_core.files import atomic_file, write_json
from sclong_tasks.batches import row_batches
from sclong_tasks.chemistry.graphs import DrugGraphs, GraphTable
from sclong_tasks.drug_response.config import NetworkOptions
from sclong_tasks.drug_response.module import DeepCdrModule
from sclong_tasks.encoders.slots import TableSlot

EPOCH, DRUGS, LINES, GENES, BATCH, SLOTS = 102_074, 223, 561, 697, 64, 100
ROWS = 3_200
TURNS = 3
Losses = Callable[[], Iterator[Tensor]]


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


def measure(way: str, rows: int) -> dict[str, Any]:
    """Training on these rows in this process."""
    torch.set_num_threads(1)
    before = memory()["peak"]
    module, losses = WAYS[way](Problem(rows))
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    start = time.perf_counter()
    found = []
    for loss in losses():
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return {
        "way": way,
        "rows": rows,
        "seconds": time.perf_counter() - start,
        "bytes_before": before,
        "bytes_peak": memory()["peak"],
        "first_loss": found[0],
        "last_loss": found[-1],
    }


def run(rows: int = ROWS, *, turns: int = TURNS) -> dict[str, Any]:
    """Both ways in turn."""
    load = load_average()
    found = []
    for _ in range(turns):
        for way in WAYS:
            request = json.dumps({"way": way, "rows": rows})
            command = [sys.executable, "-m", "benchmarks.response", "--one", request]
            done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
            found.append(json.loads(done.stdout))
            print(f"{way}: {found[-1]['seconds']:.2f} s")
    ends = [[row[name] for row in found] for name in ("first_loss", "last_loss")]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": current_commit(),
        "load_at_start": load,
        "machine": describe_machine(),
        "turns": turns,
        "largest_difference_of_losses": max(max(values) - min(values) for values in ends),
        "measurements": [_middle(found, way) for way in WAYS],
    }


def _middle(found: Iterable[dict[str, Any]], way: str) -> dict[str, Any]:
    rows = [row for row in found if row["way"] == way]
    seconds = [row["seconds"] for row in rows]
    peak = max(row["bytes_peak"] for row in rows)
    middle = {"seconds": statistics.median(seconds), "bytes_peak": peak}
    return {**rows[0], **middle, "all_seconds": seconds}


def lines(results: dict[str, Any]) -> Iterable[str]:
    """The report."""
    rows = {row["way"]: row for row in results["measurements"]}
    slow = rows["a padded graph a row"]
    held = EPOCH * (SLOTS * 75 + SLOTS * SLOTS) * 4 / 1e9
    yield "# Drug response: training at published size"
    yield ""
    words = machine_in_words(results["machine"], ("torch", "torch-geometric", "python"))
    yield f"{results['date']}, commit {results['commit'] or 'unknown'}. {words}"
    if results["load_at_start"] is not None:
        yield ""
        yield f"Load at the start: {results['load_at_start']:.1f}."
    yield ""
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


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``response.md`` and ``response.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.one:
        print(json.dumps(measure(**json.loads(args.one))))
        return
    results = run(args.rows, turns=args.turns)
    args.output.mkdir(parents=True, exist_ok=True)
    write_json(args.output / "response.json", results)
    with atomic_file(args.output / "response.md") as temporary:
        temporary.write_text("\n".join(lines(results)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
