"""How cells can be stored and read for training: the choices of the field, side by side.

``python -m benchmarks.storage`` writes the same made-up cells in each storage, reads each as its
library means it to be read, in a process of its own, from a disk cache that was emptied, and
writes ``benchmarks/results/storage.md``. What is not installed is left out and named. Libraries
that need another Python are measured with ``--other-python``. Nothing is judged.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import (
    ROOT,
    add_output,
    current_commit,
    describe_machine,
    load_average,
    machine_in_words,
    require_quiet,
)
from benchmarks.storage_cells import GENES, labels_of, made_up_cells
from benchmarks.storage_formats import SAMPLE, WRITERS, installed
from benchmarks.storage_loaders import CANDIDATES
from benchmarks.storage_report import write_report
from sclong_core.files import write_json

CELLS = 204_800
SECONDS = 15.0
WORKERS = (1, 2)


def prepare(folder: Path, cells: int, genes: int = GENES) -> dict[str, Any]:
    """Write the cells in every storage that can be written here and is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    done = _read(folder / "cells.json")
    if done.get("cells") not in (None, cells):
        raise SystemExit(f"{folder} holds {done['cells']:,} cells: choose another folder")
    storages = dict(done.get("storages", {}))
    missing = [
        name for name, (_, module) in WRITERS.items() if name not in storages and installed(module)
    ]
    if missing:
        writers = {}
        for name in missing:
            (folder / name).mkdir()
            writers[name] = WRITERS[name][0](folder / name)
        gzipped: list[tuple[float, float]] = []
        for start, block in made_up_cells(cells, genes):
            if len(gzipped) < 2:
                gzipped.append(_gzipped(block))
            for writer in writers.values():
                writer.add(start, block)
            print(f"{start + block.shape[0]:,} cells written", flush=True)
        for name, writer in writers.items():
            writer.close()
            count = min(cells, SAMPLE) if name == "npz" else cells
            size = sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file())
            storages[name] = {"cells": count, "bytes_per_cell": size / count}
        np.save(folder / "labels.npy", labels_of(cells), allow_pickle=False)
        done = {
            "cells": cells,
            "genes": genes,
            "values_per_cell": float(np.mean([values for values, _ in gzipped])),
            "gzip_bytes_per_cell": float(np.mean([size for _, size in gzipped])),
            "storages": storages,
        }
        write_json(folder / "cells.json", done)
    return done


def _gzipped(block: Any) -> tuple[float, float]:
    """Values of a cell, and bytes of a cell when the arrays of a block are gzip'd at level 9."""
    arrays = (block.data, block.indices.astype(np.int32), block.indptr.astype(np.int64))
    size = sum(len(gzip.compress(array.tobytes(), 9, mtime=0)) for array in arrays)
    return block.nnz / block.shape[0], size / block.shape[0]


def measure(
    folder: Path,
    candidates: Sequence[str],
    *,
    workers: Sequence[int],
    seconds: float,
    other_python: str | None,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Measurements, and why others are missing."""
    found, absent = [], {}
    for name in candidates:
        python = _python_for(name, other_python)
        if python is None or not (folder / CANDIDATES[name].storage).is_dir():
            absent[name] = "not installed"
            continue
        for count in workers:
            command = [python, "-W", "ignore", "-m", "benchmarks.storage_worker", name]
            options = [str(folder), f"--workers={count}", f"--seconds={seconds}"]
            try:
                done = subprocess.run(
                    [*command, *options],
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=120 + 4 * seconds,
                )
            except subprocess.SubprocessError as error:
                output = str(getattr(error, "stderr", "") or error).strip().splitlines()
                absent[name] = f"failed with {count} workers: {output[-1] if output else error}"
                print(f"{name}: {absent[name]}", flush=True)
                continue
            found.append(json.loads(done.stdout.splitlines()[-1]))
            print(
                f"{name}, {count} workers: {found[-1]['cells_per_second']:,.0f} cells/s", flush=True
            )
    return found, absent


def _python_for(name: str, other_python: str | None) -> str | None:
    """The interpreter that has the libraries of a candidate."""
    if all(installed(module.partition(".")[0]) for module in CANDIDATES[name].modules):
        return sys.executable
    if other_python is None:
        return None
    modules = "; ".join(f"import {module}" for module in CANDIDATES[name].modules)
    tried = subprocess.run([other_python, "-c", modules], capture_output=True, check=False)
    return other_python if tried.returncode == 0 else None


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Prepare, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="for the cells; kept (default: temporary)")
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--genes", type=int, default=GENES)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of reading a measurement")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=CANDIDATES)
    parser.add_argument("--other-python", help="an interpreter with libraries that this one lacks")
    parser.add_argument("--prepare-only", action="store_true")
    add_output(parser)
    args = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        prepared = prepare(folder, args.cells, args.genes)
        if args.prepare_only:
            return 0
        require_quiet(parser, args)
        load = load_average()
        found, absent = measure(
            folder,
            args.candidates,
            workers=args.workers,
            seconds=args.seconds,
            other_python=args.other_python,
        )
    machine = describe_machine()
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": current_commit(),
        "load_at_start": load,
        "machine": machine,
        "machine_in_words": machine_in_words(machine, ("torch", "numpy", "scipy")),
        "prepared": prepared,
        "seconds": args.seconds,
        "measurements": found,
        "absent": absent,
    }
    args.output.mkdir(parents=True, exist_ok=True)
    write_json(args.output / "storage.json", results)
    write_report(results, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
