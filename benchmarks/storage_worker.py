"""Measures one way to read cells in a process of its own, and prints what it found as JSON.

It needs nothing of this project but the modules beside it, so that it runs under another Python
that a library may need.
"""

import argparse
import json
import os
import threading
import time
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.storage_loaders import BATCH, CANDIDATES

_EVERY = 0.25
"""Seconds between looks at the memory."""


class Memory(threading.Thread):
    """Watches the memory of this process and of all that it starts."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.stop = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        while not self.stop.wait(_EVERY):
            self.peak = max(self.peak, sum(map(_share, _family(os.getpid()))))


def _family(process: int) -> list[int]:
    """A process and all processes below it."""
    found = [process]
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            text = children.read_text()
        except OSError:  # the thread has ended
            continue
        for child in text.split():
            found += _family(int(child))
    return found


def _share(process: int) -> int:
    """Bytes of a process; what it shares is divided by those that share it."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def forget(folder: Path) -> None:
    """Have the system drop what it holds of the files: they are to be read from the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def entropy(labels: npt.NDArray[np.int64]) -> float:
    """Of the labels of a batch, in bits."""
    _, counts = np.unique(labels, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def mixing(batches: Iterable[npt.NDArray[np.int64]], labels: npt.NDArray[np.int64]) -> float:
    """Mean entropy of the labels of batches, as a share of that of cells drawn at random."""
    found = [entropy(labels[batch]) for batch in batches if batch.size == BATCH]
    random = np.random.default_rng(0)
    ideal = [entropy(labels[random.integers(0, labels.size, BATCH)]) for _ in range(500)]
    return float(np.mean(found) / np.mean(ideal)) if found else float("nan")


def measure(name: str, folder: Path, workers: int, seconds: float) -> dict[str, Any]:
    """Read for some seconds, or an epoch."""
    candidate = CANDIDATES[name]
    for module in candidate.modules:
        import_module(module)
    meta = json.loads((folder / "cells.json").read_text())
    stored = meta["storages"][candidate.storage]["cells"]
    labels = np.load(folder / "labels.npy", allow_pickle=False)[:stored]
    place = folder / candidate.storage
    forget(place)
    watch = Memory()
    watch.start()
    start = time.perf_counter()
    batches = candidate.read(place, meta["genes"], workers)
    seen = [next(batches)[1]]
    first = time.perf_counter() - start
    total, checksum = 0, 0.0
    began = time.perf_counter()
    for dense, numbers in batches:
        checksum += float(dense[0, :100].sum())
        seen.append(numbers)
        total += numbers.size
        if time.perf_counter() - began > seconds:
            break
    spent = time.perf_counter() - began
    watch.stop.set()
    watch.join()
    return {
        "candidate": name,
        "workers": workers,
        "first_seconds": first,
        "cells": total,
        "cells_per_second": total / spent,
        "mixing": mixing(seen, labels),
        "memory_bytes": watch.peak,
        "twice": int(sum(part.size for part in seen) - np.unique(np.concatenate(seen)).size),
        "versions": {module: _version(module) for module in candidate.modules},
    }


def _version(module: str) -> str | None:
    names = {"streaming": "mosaicml-streaming", "sclong_data": "sclong-data"}
    top = module.partition(".")[0]
    try:
        return version(names.get(top, top.replace("_", "-")))
    except PackageNotFoundError:
        return None


def main() -> None:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("candidate", choices=sorted(CANDIDATES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=15.0)
    args = parser.parse_args()
    found = measure(args.candidate, args.folder, args.workers, args.seconds)
    print(json.dumps(found), flush=True)
    os._exit(0)  # some loaders wait for their workers for ever


if __name__ == "__main__":
    main()
