"""The work that is killed: small, with real files, and an outcome that can be compared."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import yaml

from sclong_bench.suites.grid import metrics_of
from sclong_bench.suites.suite import read_suite
from sclong_core.checkpoint import save_checkpoint
from sclong_core.cli.main import main
from sclong_core.embedding import block_store
from sclong_core.testing import make_counts_anndata, make_tiny_model
from sclong_data.dataset_manifest import Manifest
from sclong_data.harmoniser.run import harmonise
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_combination import task as combination
from sclong_tasks.drug_combination.example import write_synthetic_files
from sclong_tasks.results import finished_runs
from tests.support.datasets import (
    SMALL_RULES,
    corpus_bytes,
    made_up_vocabulary,
    write_datasets,
)
from tests.support.training import NETWORK_OPTIONS, write_cells

_MODELS = ("pair_prior", "logistic_regression")
_PASSING = ("wall_seconds", "peak_memory_bytes", "date", "code_version", "packages")
"""What differs between equal runs of a task."""

Outcome = Mapping[str, str]
"""A digest of each part of what a job made."""


@dataclass(frozen=True)
class Job:
    """A kind of work."""

    name: str
    run: Callable[[Path, Path], int]
    """Does it: from the folder of inputs to the place of output; gives the exit status."""
    outcome: Callable[[Path], Outcome]
    """What is at the place of output."""


def prepare(folder: Path) -> None:
    """Write the inputs of all jobs."""
    write_cells(folder / "train.h5ad", cells=60)
    make_counts_anndata(60, 24).write_h5ad(folder / "cells.h5ad")
    save_checkpoint(make_tiny_model(), folder / "checkpoint")
    write_datasets(folder, cells=30).write(folder / "manifest.tsv")
    write_synthetic_files(folder / "original")
    prepare_data(combination, folder / "data" / "drug_combination", str(folder / "original"))


def _pretrain(inputs: Path, output: Path) -> int:
    options = (
        *NETWORK_OPTIONS,
        f"--data.path={inputs / 'train.h5ad'}",
        "--data.batch_size=4",
        "--data.num_workers=1",
        f"--trainer.default_root_dir={output}",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=2",
        "--trainer.enable_progress_bar=false",
        "--model.feature_redraw_interval=10",
        "--checkpoints.every_n_steps=4",
    )
    return main(["pretrain", "fit", "--config=tiny", *options])


def _model_of(output: Path) -> Outcome:
    return {path.name: _digest(path.read_bytes()) for path in (output / "model").iterdir()}


def _harmonise(inputs: Path, output: Path) -> int:
    manifest = Manifest.read(inputs / "manifest.tsv")
    harmonise(manifest, output, vocabulary=made_up_vocabulary(), rules=SMALL_RULES)
    return 0


def _corpus_of(output: Path) -> Outcome:
    return {name: _digest(content) for name, content in corpus_bytes(output).items()}


def _embed(inputs: Path, output: Path) -> int:
    block_store.BLOCK_CELLS = 4
    output.mkdir(exist_ok=True)
    target = str(output / "embedded.h5ad")
    words = [str(inputs / "cells.h5ad"), "--checkpoint", str(inputs / "checkpoint"), "-o", target]
    return main(["embed", *words, "--batch-size", "2", "--resume"])


def _embedding_of(output: Path) -> Outcome:
    (path,) = output.iterdir()
    found = anndata.read_h5ad(path)
    return {"X_sclong": _digest(found.obsm["X_sclong"].tobytes()), "cells": str(found.shape)}


def _task(inputs: Path, output: Path) -> int:
    output.mkdir(exist_ok=True)
    words = ["task", "run", combination.name, "--model", _MODELS[1], "--seed", "1", "2"]
    words += ["--data", str(inputs / "data" / combination.name), "--output", str(output)]
    return main([*words, "--device", "cpu", "--resume"])


def _bench(inputs: Path, output: Path) -> int:
    start = subprocess.run

    def fork(words: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """A run in a process of its own, which need not load everything anew."""
        if words[:3] != [sys.executable, "-m", "sclong_core"]:
            return start(words, **options)  # as it was asked for
        child = os.fork()
        if not child:
            os.dup2(options["stdout"].fileno(), 1)
            os._exit(main(words[3:]))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return subprocess.CompletedProcess(words, status)

    subprocess.run = fork  # type: ignore[assignment]  # in the process of this job alone
    return main(["bench", "run", str(_write_suite(inputs, output))])


def _write_suite(inputs: Path, output: Path) -> Path:
    """Each output has a suite of its own, beside it."""
    content = {
        "runs": [{"task": combination.name, "models": list(_MODELS)}],
        "seeds": [1, 2],
        "data": str(inputs / "data"),
        "output": str(output),
    }
    path = output.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(content))
    return path


def _runs_of(output: Path) -> Outcome:
    found = {}
    for path in finished_runs(output):
        rows = json.loads(path.read_text())["rows"]
        kept = [{key: row[key] for key in row if key not in _PASSING} for row in rows]
        name = str(path.parent.relative_to(output))
        found[name] = _digest(json.dumps(kept).encode())
        found[f"{name}/predictions"] = _digest((path.parent / "predictions.parquet").read_bytes())
    return found


def _suite_of(output: Path) -> Outcome:
    runs = read_suite(output.with_suffix(".yaml")).runs
    assert all(metrics_of(run) is not None for run in runs)
    return _runs_of(output)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


JOBS = (
    Job("pretraining run", _pretrain, _model_of),
    Job("harmoniser", _harmonise, _corpus_of),
    Job("embedding job", _embed, _embedding_of),
    Job("task run", _task, _runs_of),
    Job("bench run", _bench, _suite_of),
)
