"""Sizes that no test machine holds, by their metadata alone: ``python -m benchmarks.scale``.

60 million cells read by 1,000 ranks, the search for duplicates among as many, and a benchmark of
10,000 runs. Each part runs in a process of its own, so that its memory can be told, and checks what
it makes. Writes ``benchmarks/results/scale.md``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

from benchmarks.machine import ROOT, memory
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.harmoniser.duplicates import CellRun, find_duplicates
from sclong_data.loading.order import ShuffleConfig
from sclong_data.loading.pools import PoolDataset, Share
from sclong_data.loading.weights import EpochCells

RESULTS = ROOT / "benchmarks" / "results"
CELLS, RANKS, BATCH = 60_000_000, 1_000, 8
RUNS = 10_000
SAMPLES = 50
DATASETS = 1_600
COPIED = 0.2


def loader(cells: int = CELLS, ranks: int = RANKS, samples: int = SAMPLES) -> dict[str, Any]:
    """The order of an epoch as every rank makes it, checked at batches of ranks drawn at random."""
    random = np.random.default_rng(0)
    start = time.process_time()
    dataset = _pools(cells, Share(BATCH, 0, ranks))
    order = dataset.order(1)
    seconds = time.process_time() - start
    start = time.process_time()
    tasks = dataset.tasks(1, dataset.share.batches(cells) // 2)
    resumed = time.process_time() - start
    checked = 0
    for pool in random.integers(0, len(order), samples).tolist():
        numbers, first = order.pool(pool), int(order.starts[pool])
        positions = np.arange(first, first + numbers.size)
        parts = [Share(BATCH, rank, ranks).of(positions) for rank in range(ranks)]
        assert (np.sum(parts, axis=0) == 1).all()  # each cell is read by one rank
        again = _pools(cells, Share(BATCH, ranks - 1, ranks)) if checked == 0 else dataset
        assert np.array_equal(again.order(1).pool(pool), numbers)  # every rank has the same order
        checked += numbers.size
    seen = np.zeros(cells, dtype=bool)
    for pool in range(len(order)):
        numbers = order.pool(pool)
        assert not seen[numbers].any()
        seen[numbers] = True
    assert seen.all()  # each cell once
    return {
        "seconds": seconds,
        "resume_seconds": resumed,
        "pools": len(order),
        "tasks": len(tasks),
        "checked": checked,
        **_memory(),
    }


def weighted(cells: int = CELLS) -> dict[str, Any]:
    """The cells of an epoch that are drawn by weights."""
    weights = np.random.default_rng(0).gamma(0.5, size=cells) + 0.01
    start = time.process_time()
    drawn = EpochCells(np.arange(cells), weights).of(1)
    seconds = time.process_time() - start
    assert drawn.size == cells
    return {"seconds": seconds, **_memory()}


def duplicates(cells: int = CELLS) -> dict[str, Any]:
    """Digests of which some come twice, in as many data sets as such a corpus has."""
    random = np.random.default_rng(0)
    digests = random.integers(0, 2**64, (cells, 2), dtype=np.uint64)
    copies = random.choice(cells // 2, int(COPIED * cells / 2), replace=False)
    digests[cells // 2 + copies] = digests[copies]
    parts = np.array_split(digests, min(DATASETS, cells))
    runs = [CellRun(f"{n:05d}", 0, part) for n, part in enumerate(parts)]
    start = time.process_time()
    found = find_duplicates(runs)
    seconds = time.process_time() - start
    gone = cells - sum(int(kept.sum()) for kept in found.kept)
    assert gone == copies.size
    return {"seconds": seconds, "gone": gone, **_memory()}


def plan(runs: int = RUNS) -> dict[str, Any]:
    """A suite read and planned where nothing is done, and where half of the runs are."""
    from sclong_bench.suites.planning import plan as plan_of  # noqa: PLC0415  # heavy
    from sclong_bench.suites.suite import read_suite  # noqa: PLC0415
    from sclong_tasks.data_files import prepare_data  # noqa: PLC0415
    from sclong_tasks.drug_combination import task  # noqa: PLC0415
    from sclong_tasks.drug_combination.example import write_synthetic_files  # noqa: PLC0415

    models = ["pair_prior", "logistic_regression"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_synthetic_files(folder / "files")
        prepare_data(task, folder / "data" / task.name, str(folder / "files"))
        content = {
            "runs": [{"task": task.name, "models": models}],
            "seeds": list(range(runs // len(models))),
            "data": str(folder / "data"),
            "output": str(folder / "runs"),
        }
        (folder / "suite.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        start = time.process_time()
        suite = read_suite(folder / "suite.yaml")
        read = time.process_time() - start
        for cell in suite.runs[::2]:
            (cell.folder / "run").mkdir(parents=True)
            rows = {"rows": [{"wall_seconds": 2.0, "seed": cell.seed}]}
            (cell.folder / "run" / "metrics.json").write_text(json.dumps(rows), encoding="utf-8")
        start = time.process_time()
        lines = plan_of(suite)
        seconds = time.process_time() - start
    assert len({cell.folder for cell in suite.runs}) == runs
    assert sum(line.done for line in lines) == runs // 2
    assert sum(line.missing for line in lines) == runs // 2
    return {"seconds": seconds, "read_seconds": read, **_memory()}


def _pools(cells: int, share: Share) -> PoolDataset:
    """Pools whose order is asked for and nothing else, so that they need no corpus."""
    none = cast(CellCorpus, None)
    return PoolDataset(none, EpochCells(np.arange(cells)), ShuffleConfig(), None, share, seed=0)


def _memory() -> dict[str, Any]:
    return {"peak": memory()["peak"]}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "loader": loader,
    "weighted": weighted,
    "duplicates": duplicates,
    "plan": plan,
}


def main() -> None:
    """Measure parts, each in a process of its own, and write the page of all that were measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--here", action="store_true", help="measure one in this process, print it")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)}")
    if arguments.here:
        print(json.dumps(PARTS[arguments.parts[0]]()))
        return
    kept = RESULTS / "scale.json"
    found = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for name in arguments.parts or PARTS:
        words = [sys.executable, "-m", "benchmarks.scale", name, "--here"]
        done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
        kept.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (RESULTS / "scale.md").write_text("\n".join(report(found)), encoding="utf-8")


def report(found: dict[str, dict[str, Any]]) -> list[str]:
    """The page of what was measured."""
    shown = [
        ("loader", "seconds", f"order of an epoch of {CELLS:,} cells, as each rank makes it"),
        ("loader", "resume_seconds", "what is left to read, from the middle of the epoch on"),
        ("weighted", "seconds", f"{CELLS:,} cells of an epoch drawn by weights"),
        ("duplicates", "seconds", f"duplicates among {CELLS:,} digests"),
        ("plan", "read_seconds", f"a suite of {RUNS:,} runs read"),
        ("plan", "seconds", f"a suite of {RUNS:,} runs planned, half of them done"),
    ]
    lines = [
        "# Large sizes, simulated",
        "",
        (
            "`python -m benchmarks.scale`. Each part is a process, whose whole memory is given, "
            "libraries and made-up input included; processor time, which other work on the "
            "machine changes little."
        ),
        "",
        "| | processor seconds | peak memory, GB |",
        "|---|---:|---:|",
    ]
    for name, figure, what in shown:
        if name in found:
            part = found[name]
            lines.append(f"| {what} | {part[figure]:.2f} | {part['peak'] / 1e9:.2f} |")
    if "loader" in found:
        order = found["loader"]
        lines += [
            "",
            (
                f"{RANKS:,} ranks, batches of {BATCH}: {order['pools']:,} pools. Every cell comes "
                f"once an epoch (all were looked at). {order['checked']:,} cells in {SAMPLES} "
                "pools drawn at random are each read by exactly one rank, and the last rank has "
                "the order of the first."
            ),
        ]
    return [*lines, ""]


if __name__ == "__main__":
    main()
