"""Ways to train the same network, in turn and each in a process of its own."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import (
    ROOT,
    add_output,
    current_commit,
    describe_machine,
    load_average,
    machine_in_words,
    memory,
    require_quiet,
)
from sclong_core.files import atomic_file, write_json

Losses = Callable[[], Iterator[Tensor]]
"""Losses of the batches of one pass."""
Measured = list[dict[str, Any]]
"""One line a way and turn."""
TURNS = 3


def train(way: Callable[[], tuple[nn.Module, Losses]], learning_rate: float) -> dict[str, Any]:
    """One pass of training in this process, on one thread."""
    torch.set_num_threads(1)
    before = memory()["peak"]
    start = time.perf_counter()
    module, losses = way()
    ready = time.perf_counter()
    optimizer = torch.optim.Adam(module.parameters(), learning_rate)
    found = []
    for loss in losses():
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return {
        "seconds_to_prepare": ready - start,
        "seconds": time.perf_counter() - ready,
        "bytes_before": before,
        "bytes_peak": memory()["peak"],
        "first_loss": found[0],
        "last_loss": found[-1],
    }


def compare(
    module: str, ways: Iterable[str], *, same: Iterable[str], rows: int, turns: int
) -> dict[str, Any]:
    """All ways, one after the other, several times; what was measured, and on which machine.

    Args:
        module: that measures one way when it is run with ``--one``.
        ways: by name.
        same: those that compute the same.
        rows: to train on.
        turns: how often.
    """
    names, load = list(ways), load_average()
    found: Measured = []
    for _ in range(turns):
        for way in names:
            found.append(measured_apart(module, way=way, rows=rows))
            print(f"{way}: {found[-1]['seconds']:.2f} s")
    return {
        **circumstances(load, turns),
        "largest_difference_of_losses": difference(found, same),
        "measurements": [middle(found, way) for way in names],
    }


def measured_apart(module: str, **request: Any) -> dict[str, Any]:
    """What a module measures of one request in a process of its own, with ``--one``."""
    words = [sys.executable, "-m", module, "--one", json.dumps(request)]
    done = subprocess.run(words, check=True, cwd=ROOT, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def circumstances(load: Any, turns: int) -> dict[str, Any]:
    """When, of which commit and on which machine was measured.

    Args:
        load: of the machine before it began.
        turns: how often.
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": current_commit(),
        "load_at_start": load,
        "machine": describe_machine(),
        "turns": turns,
    }


def difference(found: Measured, same: Iterable[str]) -> float:
    """The largest between the losses of ways that compute the same, at both ends of training."""
    names = set(same)
    rows = [row for row in found if row["way"] in names]
    ends = [[float(row[name]) for row in rows] for name in ("first_loss", "last_loss")]
    return max(max(values) - min(values) for values in ends)


def middle(found: Measured, way: str) -> dict[str, Any]:
    """The medians of a way, and its highest peak."""
    rows = [row for row in found if row["way"] == way]
    medians = {
        name: statistics.median(row[name] for row in rows)
        for name in ("seconds", "seconds_to_prepare")
    }
    peak = max(row["bytes_peak"] for row in rows)
    return {**rows[0], **medians, "bytes_peak": peak, "all_seconds": [r["seconds"] for r in rows]}


def heading(title: str, results: Mapping[str, Any]) -> Iterator[str]:
    """The first lines of a report."""
    yield f"# {title}"
    yield ""
    words = machine_in_words(results["machine"], ("torch", "torch-geometric", "python"))
    yield f"{results['date']}, commit {results['commit'] or 'unknown'}. {words}"
    if results["load_at_start"] is not None:
        yield ""
        yield f"Load at the start: {results['load_at_start']:.1f}."
    yield ""


def command(name: str, part: Mapping[str, Any], arguments: list[str] | None = None) -> None:
    """Measure, and write ``NAME.md`` and ``NAME.json``.

    Args:
        name: of the files.
        part: the module's ``globals()``: ``ROWS``, ``measure``, ``run``, ``lines``.
        arguments: words; by default those of the process.
    """
    parser = argparse.ArgumentParser(
        description=part["__doc__"], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=part["ROWS"])
    parser.add_argument("--turns", type=int, default=TURNS)
    add_output(parser)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.one:
        print(json.dumps(part["measure"](**json.loads(args.one))))
        return
    require_quiet(parser, args)
    results = part["run"](args.rows, turns=args.turns)
    args.output.mkdir(parents=True, exist_ok=True)
    write_json(args.output / f"{name}.json", results)
    with atomic_file(args.output / f"{name}.md") as temporary:
        temporary.write_text("\n".join(part["lines"](results)) + "\n", encoding="utf-8")
