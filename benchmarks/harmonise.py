"""Harmonising beside the same steps in plain scanpy, on the same file, in one run.

``python -m benchmarks.harmonise`` takes about four minutes on two cores. Each measurement is a
process of its own, in turn: harmoniser, scanpy, harmoniser, scanpy. Results go to
``benchmarks/results/harmonise.md`` and ``harmonise.json``. Nothing is judged.

The cells are made up in the shape of real ones: genes of very different abundance, cells of very
different depth, about 2,000 of 27,874 genes above zero.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import (
    ROOT,
    add_output,
    available_cores,
    current_commit,
    load_average,
    memory,
    require_quiet,
)

GENES = 27_874
CELLS = (4_000, 12_000)
TURNS = 2
_BLOCK = 2_000
_HARMONISER, _TWO, _SCANPY = "harmoniser", "harmoniser, 2 processes", "scanpy"


def main() -> None:
    """Measure, and write the table; or be one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=list(CELLS))
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--subject", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    add_output(parser)
    args = parser.parse_args()
    if args.subject:
        print(json.dumps(_measure_here(args.subject, args.folder)))
        return
    require_quiet(parser, args)
    found, load = [], load_average() or 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for cells in args.cells:
            folder = Path(scratch) / str(cells)
            folder.mkdir()
            write_cells(folder / "cells.h5ad", cells)
            for turn in range(args.turns):
                for subject in SUBJECTS:
                    one = _measure_apart(subject, folder)
                    found.append({"cells": cells, "subject": subject, "turn": turn, **one})
                    print(found[-1], file=sys.stderr)
    _write(found, load, args.output)


def write_cells(path: Path, cells: int, *, seed: int = 0) -> None:
    """Write raw counts in the layout that CELLxGENE uses: CSR, float32, gzip."""
    import h5py  # noqa: PLC0415  # only the first process makes cells
    import pandas as pd  # noqa: PLC0415
    from anndata import AnnData  # noqa: PLC0415
    from scipy import sparse  # noqa: PLC0415

    names = [f"ENSG{number:011d}" for number in range(GENES)]
    generator = np.random.default_rng(seed)
    abundance = generator.lognormal(0.0, 2.2, GENES)
    abundance /= abundance.sum()
    AnnData(
        sparse.csr_matrix((cells, GENES), dtype=np.float32),
        obs=pd.DataFrame(
            {
                "tissue": pd.Categorical(generator.choice(["blood", "lung", "liver"], cells)),
                "donor_id": pd.Categorical(generator.choice([f"d{n}" for n in range(20)], cells)),
            },
            index=[f"cell{number}" for number in range(cells)],
        ),
        var=pd.DataFrame(index=names),
    ).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        group = file["X"]
        for name, kind in (("data", np.float32), ("indices", np.int32)):
            del group[name]
            group.create_dataset(
                name, (0,), kind, maxshape=(None,), chunks=(100_000,), compression="gzip"
            )
        pointers = [0]
        for start in range(0, cells, _BLOCK):
            count = min(_BLOCK, cells - start)
            depth = generator.lognormal(8.9, 0.6, (count, 1))
            block = sparse.csr_matrix(generator.poisson(depth * abundance).astype(np.float32))
            for name in ("data", "indices"):
                group[name].resize((pointers[-1] + block.nnz,))
                group[name][pointers[-1] :] = getattr(block, name)
            pointers += (block.indptr[1:] + pointers[-1]).tolist()
        group["indptr"][:] = pointers


def with_harmoniser(folder: Path, output: Path, cluster: str | None = None) -> int:
    """The whole command: checksum, survey, cells, values, duplicates, shards, index."""
    from sclong_data import harmonise  # noqa: PLC0415  # each process loads what it measures
    from sclong_data.dataset_manifest import DatasetEntry, Manifest  # noqa: PLC0415

    manifest = Manifest((DatasetEntry("cells", location="cells.h5ad"),), folder)
    return harmonise(manifest, output, vocabulary=_vocabulary(), cluster=cluster).cells


def with_scanpy(folder: Path, output: Path) -> int:
    """The same rules by the usual calls, and one compressed file."""
    import anndata  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    import scanpy as sc  # noqa: PLC0415

    adata = anndata.read_h5ad(folder / "cells.h5ad")
    if not np.array_equal(adata.X.data, np.rint(adata.X.data)) or adata.X.data.min() < 0:
        raise ValueError("not counts")
    sc.pp.normalize_total(adata, target_sum=1e4)
    adata = adata[:, adata.var_names.isin(_vocabulary().ids)].copy()
    sc.pp.filter_cells(adata, min_genes=300)
    sc.pp.log1p(adata)
    largest = adata.X.max(axis=1).toarray().ravel()
    lengths = np.diff(adata.X.indptr)
    adata.X.data *= np.repeat(np.where(largest < 10, 10 / largest, 1), lengths)
    np.minimum(adata.X.data, 10, out=adata.X.data)
    rows = pd.Series(
        [
            adata.X.indices[a:b].tobytes() + adata.X.data[a:b].tobytes()
            for a, b in zip(adata.X.indptr[:-1], adata.X.indptr[1:], strict=True)
        ]
    )
    adata = adata[~rows.duplicated().to_numpy()].copy()
    adata.write_h5ad(output, compression="gzip")
    return int(adata.n_obs)


SUBJECTS: dict[str, Callable[[Path, Path], int]] = {
    _HARMONISER: with_harmoniser,
    _TWO: lambda folder, output: with_harmoniser(folder, output, "local:2"),
    _SCANPY: with_scanpy,
}


def _vocabulary() -> Any:
    from sclong_core.vocabulary import GeneVocabulary  # noqa: PLC0415

    return GeneVocabulary.from_ids(f"ENSG{number:011d}" for number in range(GENES))


def _measure_apart(subject: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.harmonise", "--subject", subject]
    ended = subprocess.run(
        [*command, "--folder", str(folder)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def _measure_here(subject: str, folder: Path) -> dict[str, Any]:
    import scanpy  # noqa: F401, PLC0415  # loading is no part of the work

    import sclong_data.harmoniser.run  # noqa: F401, PLC0415

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        output = Path(scratch) / "output"
        before = memory()["peak"]
        begun, processor = time.perf_counter(), _processor_seconds()
        kept = SUBJECTS[subject](folder, output)
        seconds = time.perf_counter() - begun
        processor = _processor_seconds() - processor
        files = [output] if output.is_file() else [p for p in output.rglob("*") if p.is_file()]
        size = sum(path.stat().st_size for path in files)
    return {
        "seconds": seconds,
        "processor_seconds": processor,
        "kept": kept,
        "bytes": size,
        "peak": memory()["peak"],
        "loaded": before,
    }


def _processor_seconds() -> float:
    """Of this process, its threads, and the processes that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _write(found: list[dict[str, Any]], load: float, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": current_commit(),
        "cores": available_cores(),
        "measurements": found,
    }
    (folder / "harmonise.json").write_text(json.dumps(content, indent=2) + "\n")
    lines = [
        "# Harmonising beside plain scanpy",
        "",
        (
            f"{content['date']}, commit {content['commit']}, {content['cores']} cores; best of "
            f"{1 + max(one['turn'] for one in found)} turns each, in turn. Made-up raw counts of "
            f"{GENES:,} genes in a gzip-compressed `.h5ad`; both sides read the file, check and "
            "normalise, filter cells, rescale to the maximum, drop duplicates, write compressed. "
            "The harmoniser also takes the file's checksum, looks at every value before it writes "
            "any, hashes each cell, checksums its output and flushes it to disk."
        ),
        "",
        "| cells | | seconds | cells/s | processor ms a cell | peak GB | written, bytes a cell |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for cells in sorted({one["cells"] for one in found}):
        for subject in SUBJECTS:
            runs = [o for o in found if (o["cells"], o["subject"]) == (cells, subject)]
            best = min(runs, key=lambda one: float(one["seconds"]))
            peak = "" if subject == _TWO else f"{best['peak'] / 1e9:.2f}"
            lines.append(
                f"| {cells:,} | {subject} | {best['seconds']:.1f} | "
                f"{cells / best['seconds']:,.0f} | {1e3 * best['processor_seconds'] / cells:.2f} | "
                f"{peak} | {best['bytes'] / best['kept']:,.0f} |"
            )
    lines += [
        "",
        (
            "Memory is that of the whole process, of which the libraries, loaded before the clock "
            f"starts, take {min(one['loaded'] for one in found) / 1e9:.2f} GB. That of the two "
            "processes is not measured here: each is like the one. Seconds depend on what else the "
            f"machine does (load before the first measurement: {load:.1f}); processor time does so "
            "less."
        ),
        "",
    ]
    (folder / "harmonise.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
