"""Time and memory of each command on 10,000 cells, as a user starts it.

``python -m benchmarks.commands`` makes up blood-like counts of 16,000 genes, runs every command in
a process of its own with the packaged model on one thread, and writes ``commands.json`` and
``commands.md``. Seconds of processor time count no waiting, so that they say something on a machine
that is not quiet, too; the table says when it was not.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from scipy import sparse

from benchmarks.machine import (
    add_output,
    load_average,
    machine_in_words,
    require_quiet,
    was_busy,
)
from benchmarks.previous import beside_previous, read_previous
from benchmarks.turns import circumstances
from sclong_core.files import atomic_file, write_json
from sclong_core.model import ScLong

CELLS = 10_000
GENES = 16_000
TYPES = 10
MARKERS = 40
"""Genes that a type expresses eight times as strongly."""
DEPTH = 4_000
"""Counts of a cell, in the middle."""


@dataclass(frozen=True)
class Command:
    """What is run; ``{cells}`` and the like stand for files of the working folder."""

    name: str
    words: str
    page: str
    """Where the documentation names such figures, relative to ``docs``."""


COMMANDS = (
    Command("embed", "embed {cells} -o {out}.h5ad", "mini.md"),
    Command("doctor", "doctor mini {cells} --by cell_type --batch donor", "doctor.md"),
    Command(
        "annotate",
        "annotate {cells} --reference {reference} --label cell_type -o {out}.annotated.h5ad",
        "annotating.md",
    ),
    Command(
        "finetune",
        "finetune {cells} --label cell_type --group donor -o {folder}/classifier",
        "finetuning.md",
    ),
    Command(
        "predict",
        "predict {cells} --model {folder}/classifier -o {out}.predicted.h5ad",
        "finetuning.md",
    ),
    Command(
        "perturb",
        "perturb {cells} --delete {gene} {other} --by cell_type -o {out}.tsv",
        "perturbing.md",
    ),
    Command("distill", "distill --cells {cells} -o {folder}/student", "students.md"),
    Command(
        "embed, student",
        "embed {cells} --checkpoint {folder}/student -o {out}.student.h5ad",
        "students.md",
    ),
)


def made_up_cells(cells: int, *, seed: int) -> anndata.AnnData:
    """Counts of genes that the packaged model knows, in types that differ by markers.

    Args:
        cells: how many.
        seed: of the counts; types, markers and levels of genes are the same for all.
    """
    fixed, generator = np.random.default_rng(0), np.random.default_rng(seed)
    vocabulary = ScLong.from_pretrained("mini").vocabulary
    assert vocabulary is not None
    ids = fixed.choice(np.asarray(vocabulary.ids), size=GENES, replace=False)
    levels = fixed.lognormal(0.0, 2.0, size=GENES)
    rates = np.repeat(levels[None], TYPES, axis=0)
    for kind in range(TYPES):
        rates[kind, fixed.choice(GENES, MARKERS, replace=False)] *= 8
    rates /= rates.sum(axis=1, keepdims=True)
    kinds = generator.integers(TYPES, size=cells)
    depths = generator.lognormal(np.log(DEPTH), 0.4, size=cells)
    blocks = [
        sparse.csr_matrix(generator.poisson(rates[kinds[a : a + 500]] * depths[a : a + 500, None]))
        for a in range(0, cells, 500)
    ]
    found = anndata.AnnData(sparse.vstack(blocks, format="csr").astype(np.float32))
    found.var_names = ids
    found.obs_names = [f"cell{number}" for number in range(cells)]
    found.obs["cell_type"] = [f"type {kind}" for kind in kinds]
    found.obs["donor"] = [f"donor {number % 5}" for number in range(cells)]
    return found


def measure(command: Command, places: dict[str, str]) -> dict[str, Any]:
    """Run one command; its seconds, seconds of processor time and highest memory.

    Raises:
        RuntimeError: it failed; with the last line that it wrote.
    """
    words = [word.format(**places) for word in command.words.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "sclong_core", *words],
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise RuntimeError(f"{command.name}: {(text.strip().splitlines() or ['no word'])[-1]}")
    return {
        **asdict(command),
        "seconds": time.perf_counter() - begun,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "bytes_peak": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "page_faults": used.ru_minflt,
    }


def run(names: Sequence[str], cells: int) -> dict[str, Any]:
    """All commands of these names, one after the other."""
    results: dict[str, Any] = {
        **circumstances(load_average(), 1),
        "cells": cells,
        "measurements": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        places = {"folder": folder, "cells": f"{folder}/cells.h5ad"}
        places |= {"reference": f"{folder}/reference.h5ad", "out": f"{folder}/out"}
        data = made_up_cells(cells, seed=1)
        totals = np.asarray(data.X.sum(axis=0)).ravel()
        strongest = data.var_names[np.argsort(-totals)[:2]]
        places |= {"gene": strongest[0], "other": strongest[1]}
        data.write_h5ad(places["cells"])
        made_up_cells(cells, seed=2).write_h5ad(places["reference"])
        for command in COMMANDS:
            if command.name in names:
                results["measurements"].append(measure(command, places))
                last = results["measurements"][-1]
                print(f"{command.name}: {last['processor_seconds']:.1f} s of processor time")
    return results


def lines(results: dict[str, Any], before: dict[str, Any] | None) -> Iterable[str]:
    """The report."""
    yield f"# Commands on {results['cells']:,} cells"
    yield ""
    words = machine_in_words(results["machine"], ("torch", "python"))
    yield f"{results['date']}, commit {results['commit'] or 'unknown'}. {words}"
    yield ""
    yield (
        f"Made-up counts of {GENES:,} genes, the packaged model, one thread; start, reading and "
        "writing included. Memory is the peak of the process. A page fault is a page of it that "
        "the system handed out; imports alone take some 100,000."
    )
    yield ""
    yield "| command | s | processor s | GiB peak | page faults | words |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in results["measurements"]:
        mark = " (busy)" if was_busy(results) else ""
        yield (
            f"| [{row['name']}](../../docs/{row['page']}) | {row['seconds']:.1f}{mark} | "
            f"{row['processor_seconds']:.1f} | {row['bytes_peak'] / 2**30:.2f} | "
            f"{row['page_faults']:,} | `sclong {row['words']}` |"
        )
    yield from beside_previous(before, results, key=("name",), value="processor_seconds")


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = [command.name for command in COMMANDS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--cells", type=int, default=CELLS)
    add_output(parser)
    options = parser.parse_args(arguments)
    require_quiet(parser, options)
    results = run(options.only, options.cells)
    write(results, options.output)


def write(results: dict[str, Any], folder: Path) -> None:
    """Write ``commands.json`` and ``commands.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    before = read_previous(folder / "commands.json")
    write_json(folder / "commands.json", results)
    with atomic_file(folder / "commands.md") as temporary:
        temporary.write_text("\n".join(lines(results, before)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
