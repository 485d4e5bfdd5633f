"""Judge a student beside its teacher and an untrained student, and time all on the same cells.

    python -m studies.students.judge STUDENT --data DATA -o students.json [--role report]

Writes one row a set, view and model; ``--time`` measures cells/s instead, by turns.
"""

import argparse
import json
import logging
import statistics
import time
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import torch
from scipy import sparse

from sclong_bench.judging.sets import LabelledCells, read_labelled, read_sets
from sclong_core import ScLong
from sclong_core.distillation.distil import new_student
from sclong_core.distillation.start import start_tables
from sclong_core.embedding.inference import embed_cells
from sclong_core.embedding.pooling import chosen_pool
from sclong_core.expression import prepare_cells
from sclong_tasks.metrics.nearest import tell_types

SETS = Path(__file__).parents[1] / "mini" / "sets.yaml"
DEPTHS = (1.0, 0.5, 0.25, 0.1)
PANELS = (4000, 1000, 500, 250)
NEIGHBOURS = 15
_LOG = logging.getLogger("studies.students")


def main() -> None:
    """Judge or time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student", type=Path)
    parser.add_argument("--teacher")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--role", default="development")
    parser.add_argument("--only", nargs="+", default=[], metavar="SET", help="of that role")
    parser.add_argument("--whole", action="store_true", help="no curves")
    parser.add_argument("--time", type=Path, metavar="CELLS")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    _LOG.setLevel(logging.INFO)
    torch.set_num_threads(1)
    teacher = ScLong.from_pretrained(args.teacher, device="cpu")
    student = ScLong.from_pretrained(args.student, device="cpu")
    models = {
        "teacher": teacher,
        "student": student,
        "untrained": untrained(teacher, student),
    }
    rows = timed(models, args.time) if args.time else judged(models, args)
    args.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def untrained(teacher: ScLong, trained: ScLong) -> ScLong:
    """The floor: the teacher's gene vectors in its tables, and random weights behind them.

    It knows mean and rate of genes as the trained one does.
    """
    student = new_student(teacher, 0)
    with torch.no_grad():
        genes = teacher.gene_embedding()[: teacher.config.genes]
        student.network.mean.copy_(trained.network.mean)
        student.network.rate.copy_(trained.network.rate)
        start_tables(student.network, genes, torch.zeros(len(genes)))
    return student.eval()


def judged(models: dict[str, ScLong], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Macro-F1, agreement of neighbours with the teacher's on whole cells, and cosines to it."""
    rows = []
    for chosen in read_sets(SETS):
        if chosen.role != args.role or (args.only and chosen.name not in args.only):
            continue
        cells = read_labelled(chosen, args.data)
        whole = embedded(models["teacher"], cells.adata, cells)
        for view, adata in views(cells, whole_alone=args.whole):
            for name, model in models.items():
                found = embedded(model, adata, cells)
                cosine = np.sum(unit(found) * unit(whole), axis=1)
                rows.append(
                    {
                        "set": chosen.name,
                        "view": view,
                        "model": name,
                        "macro_f1": tell_types(found.astype(float), cells.types).macro_f1(),
                        "overlap": overlap(found, whole),
                        "cosine": [float(np.quantile(cosine, q)) for q in (0.05, 0.5, 0.95)],
                    }
                )
                _LOG.info(json.dumps(rows[-1]))
    return rows


def views(cells: LabelledCells, *, whole_alone: bool) -> list[tuple[str, anndata.AnnData]]:
    """The cells whole, thinned, and cut to random panels; the first alone where counts are not."""
    found = [("whole", cells.adata)]
    stored = sparse.csr_matrix(cells.adata.X, dtype=np.float64)
    if whole_alone or not (stored.data == np.rint(stored.data)).all():
        return found
    random = np.random.default_rng(0)
    for depth in DEPTHS[1:]:
        thin = cells.adata.copy()
        thin.X = stored.copy()
        thin.X.data = random.binomial(stored.data.astype(np.int64), depth).astype(np.float64)
        thin.X.eliminate_zeros()
        found.append((f"{depth:.0%} of counts", thin))
    expressed = np.flatnonzero(stored.getnnz(axis=0) > 0.02 * stored.shape[0])
    for size in PANELS:
        if size < len(expressed):
            genes = np.sort(random.choice(expressed, size, replace=False))
            found.append((f"{size} genes", cells.adata[:, genes].copy()))
    return found


def embedded(model: ScLong, adata: anndata.AnnData, cells: LabelledCells) -> np.ndarray:
    """Vectors, whatever is left of the genes."""
    return model.embed(
        adata,
        batch_size=64,
        normalisation=cells.described.normalisation,
        allow_poor_match=True,
        allow_other_species=True,
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the 15 nearest cells that are the same."""
    near = []
    for vectors in (one, other):
        cosines = unit(vectors) @ unit(vectors).T
        np.fill_diagonal(cosines, -np.inf)
        near.append(np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS])
    same = [len(np.intersect1d(a, b)) for a, b in zip(*near, strict=True)]
    return float(np.mean(same)) / NEIGHBOURS


def timed(models: dict[str, ScLong], path: Path) -> list[dict[str, Any]]:
    """Cells a second by turns, with reading and without, one thread and two."""
    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        seconds: dict[tuple[str, bool], list[float]] = {}
        for _ in range(5):
            for name, model in models.items():
                if name == "untrained":
                    continue
                with prepare_cells(path, model.vocabulary, model.config.input) as cells:
                    count, pool = len(cells), chosen_pool(model, None)
                    begun = time.perf_counter()
                    embed_cells(model, cells, pool=pool, batch_size=64)
                    seconds.setdefault((name, True), []).append(time.perf_counter() - begun)
                    block = torch.from_numpy(cells.block(0, count))
                    with torch.inference_mode():
                        begun = time.perf_counter()
                        for part in block.split(64):
                            model.cell_vectors(part)
                    seconds.setdefault((name, False), []).append(time.perf_counter() - begun)
        for (name, reading), taken in seconds.items():
            rows.append(
                {
                    "model": name,
                    "threads": threads,
                    "with reading": reading,
                    "cells/s": count / statistics.median(taken),
                    "best cells/s": count / min(taken),
                }
            )
            _LOG.info(json.dumps(rows[-1]))
    return rows


if __name__ == "__main__":
    main()
