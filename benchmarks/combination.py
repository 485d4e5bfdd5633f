"""An epoch of drug combination: each distinct drug of a batch once, beside a graph for each row.

``python -m benchmarks.combination`` trains one epoch at the published size (12,415 rows of 36 drugs
and 31 cell lines with 954 genes, batches of 256) both ways, in turn and each in a process of its
own, with the same weights, rows and order. DeepDDS holds two graphs and a copy of the cell line's
expression for every row, and runs its graph network over all of them; so does ``a graph a row``
here. Drugs are made up with as many atoms as the real ones have in the mean. Nothing is judged.
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
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_max_pool

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
from sclong_tasks.chemistry.graphs import DrugGraphs, GraphTable, drug_graphs
from sclong_tasks.chemistry.molecules import read_molecules
from sclong_tasks.drug_combination.module import CombinationModule, NetworkShape, Schedule
from sclong_tasks.encoders.slots import TableSlot

ROWS, DRUGS, LINES, GENES, BATCH = 12_415, 36, 31, 954, 256
TURNS = 3
Step = Callable[[], Tensor]
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


def distinct_drugs(problem: Problem, *, symmetric: bool = False) -> tuple[CombinationModule, Any]:
    """As the package does it."""
    module = problem.module(symmetric=symmetric)

    def losses() -> Iterator[Tensor]:
        for batch in row_batches(problem.columns, BATCH):
            yield nn.functional.cross_entropy(module(batch), batch["synergy"])

    return module, losses


def graph_a_row(problem: Problem) -> tuple[CombinationModule, Any]:
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


WAYS: dict[str, Callable[[Problem], tuple[CombinationModule, Any]]] = {
    "a graph a row": graph_a_row,
    "sclong-tasks": distinct_drugs,
    "sclong-tasks, symmetric": lambda problem: distinct_drugs(problem, symmetric=True),
}


def measure(way: str, rows: int) -> dict[str, Any]:
    """One epoch of training in this process."""
    torch.set_num_threads(1)
    before = memory()["peak"]
    start = time.perf_counter()
    module, losses = WAYS[way](Problem(rows))
    ready = time.perf_counter()
    optimizer = torch.optim.Adam(module.parameters(), 1e-4)
    found = []
    for loss in losses():
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return {
        "way": way,
        "rows": rows,
        "seconds_to_prepare": ready - start,
        "seconds": time.perf_counter() - ready,
        "bytes_before": before,
        "bytes_peak": memory()["peak"],
        "first_loss": found[0],
        "last_loss": found[-1],
    }


def run(rows: int = ROWS, *, turns: int = TURNS) -> dict[str, Any]:
    """All ways in turn."""
    load = load_average()
    found = []
    for _ in range(turns):
        for way in WAYS:
            request = json.dumps({"way": way, "rows": rows})
            command = [sys.executable, "-m", "benchmarks.combination", "--one", request]
            done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
            found.append(json.loads(done.stdout))
            print(f"{way}: {found[-1]['seconds']:.2f} s")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": current_commit(),
        "load_at_start": load,
        "machine": describe_machine(),
        "turns": turns,
        "largest_difference_of_losses": _difference(found),
        "measurements": [_middle(found, way) for way in WAYS],
    }


def _difference(found: Iterable[dict[str, Any]]) -> float:
    """Of the losses of the two ways that compute the same, at both ends of the epoch."""
    same = [row for row in found if not row["way"].endswith("symmetric")]
    ends = [[float(row[name]) for row in same] for name in ("first_loss", "last_loss")]
    return max(max(values) - min(values) for values in ends)


def _middle(found: Iterable[dict[str, Any]], way: str) -> dict[str, Any]:
    rows = [row for row in found if row["way"] == way]
    middle = {
        name: statistics.median(row[name] for row in rows)
        for name in ("seconds", "seconds_to_prepare")
    }
    peak = max(row["bytes_peak"] for row in rows)
    return {**rows[0], **middle, "bytes_peak": peak, "all_seconds": [r["seconds"] for r in rows]}


def lines(results: dict[str, Any]) -> Iterable[str]:
    """The report."""
    rows = {row["way"]: row for row in results["measurements"]}
    slow = rows["a graph a row"]
    yield "# Drug combination: an epoch at published size"
    yield ""
    words = machine_in_words(results["machine"], ("torch", "torch-geometric", "python"))
    yield f"{results['date']}, commit {results['commit'] or 'unknown'}. {words}"
    if results["load_at_start"] is not None:
        yield ""
        yield f"Load at the start: {results['load_at_start']:.1f}."
    yield ""
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


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``combination.md`` and ``combination.json``."""
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
    write_json(args.output / "combination.json", results)
    with atomic_file(args.output / "combination.md") as temporary:
        temporary.write_text("\n".join(lines(results)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
