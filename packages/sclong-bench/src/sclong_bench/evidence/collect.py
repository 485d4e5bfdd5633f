"""From a folder of runs to tables that fit in a repository: all rows, and maps of the cells."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sclong_bench.demo.evaluate import Floats, umap
from sclong_bench.demo.settings import DemoSettings
from sclong_bench.evidence.cells import HeldOut
from sclong_bench.evidence.data import EvidenceData
from sclong_bench.evidence.known import COVERAGE, Coverage
from sclong_bench.evidence.measure import GENE_SUMS, simple_embeddings
from sclong_bench.evidence.measures import EMBEDDINGS
from sclong_bench.evidence.run import DATA, METRICS, RUNS
from sclong_bench.evidence.similarity import similarities
from sclong_bench.evidence.suite import FULL, EvidenceSuite
from sclong_bench.evidence.training import MODEL
from sclong_bench.results.reading import Results, read_results
from sclong_core.errors import InputError
from sclong_core.files import atomic_file
from sclong_tasks.results import finished_runs

_LOG = logging.getLogger("sclong")
ROWS, MAPS, SIMILARITY = "rows.parquet", "maps.parquet", "similarity.parquet"
"""All rows of all runs; UMAP coordinates of the cells, and cosines of genes, of one seed."""
_MAPPED = (FULL, "untrained_sclong")


@dataclass(frozen=True, eq=False)
class Collected:
    """What pages are made from."""

    results: Results
    maps: pd.DataFrame
    """Columns: scenario, model, x, y, label, batch."""
    similarity: pd.DataFrame
    """See :data:`sclong_bench.evidence.similarity.COLUMNS`."""
    coverage: Coverage
    """Of what is known of genes."""


def collect(suite: EvidenceSuite, output: Path) -> None:
    """Write the tables of a folder of evidence.

    Args:
        suite: that was run.
        output: its folder.

    Raises:
        InputError: no run was made.
    """
    table = pd.DataFrame(list(_rows(output / RUNS, _complete(suite, output / RUNS))))
    _write(table, output / ROWS)
    if not (output / MAPS).is_file():  # they are of the first seed, whatever else is run
        _write(pd.DataFrame(list(_maps(suite, output))), output / MAPS)
    data = EvidenceData(output / DATA)
    data.known.coverage.write(output / COVERAGE)
    if not (output / SIMILARITY).is_file():
        models = {
            name: output / RUNS / f"{name}-seed-{suite.seeds[0]}" / MODEL
            for name in _MAPPED
            if name in suite.variants
        }
        _write(similarities(suite, data, models), output / SIMILARITY)


def _write(frame: pd.DataFrame, path: Path) -> None:
    with atomic_file(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="zstd")


def read_collected(folder: Path) -> Collected:
    """The tables that :func:`collect` wrote.

    Raises:
        InputError: they are not there, or no such tables.
    """
    try:
        maps, similarity = (pd.read_parquet(folder / name) for name in (MAPS, SIMILARITY))
        coverage = Coverage.read(folder / COVERAGE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} holds no evidence: {error}") from error
    return Collected(read_results(folder / ROWS), maps, similarity, coverage)


def _complete(suite: EvidenceSuite, folder: Path) -> list[int]:
    """Seeds that every variant has been run with: others would leave models untested."""
    complete = [
        seed
        for seed in suite.seeds
        if all((folder / f"{name}-seed-{seed}" / METRICS).is_file() for name in suite.variants)
    ]
    if not complete:
        raise InputError(f"no seed has all of its runs below {folder}: go on with the same command")
    for seed in set(suite.seeds) - set(complete):
        _LOG.warning("seed %s is not complete, and is left out", seed)
    return complete


def _rows(folder: Path, seeds: list[int]) -> Iterator[dict[str, Any]]:
    """Rows with what their run says of leakage and tuning."""
    for path in finished_runs(folder):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["rows"][0]["seed"] not in (None, *seeds):
            continue
        facts = {name: fact for name, fact in content["facts"].items() if isinstance(fact, str)}
        for row in content["rows"]:
            short = {name: row[name][:12] for name in row if name.endswith("_digest")}
            value = float("nan") if row["value"] is None else row["value"]
            seed = pd.NA if row["seed"] is None else row["seed"]
            yield {**row, **short, **facts, "value": value, "seed": seed}


def _maps(suite: EvidenceSuite, output: Path) -> Iterator[dict[str, Any]]:
    """Coordinates of each cell in the space of the full model, the untrained one, and PCA."""
    seed = suite.seeds[0]
    for cells in EvidenceData(output / DATA).held_out:
        if not cells.batch.size or not cells.label.size:
            continue
        spaces = {"pca": simple_embeddings(cells, suite.evaluation)["pca"]}
        for name in _MAPPED:
            path = output / RUNS / f"{name}-seed-{seed}"
            if (path / METRICS).is_file():
                with np.load(path / EMBEDDINGS, allow_pickle=False) as kept:
                    spaces[name] = kept[f"{GENE_SUMS} {cells.name}"]
        for name, points in spaces.items():
            yield from _map(name, points, cells, suite)


def _map(
    name: str, points: Floats, cells: HeldOut, suite: EvidenceSuite
) -> Iterator[dict[str, Any]]:
    settings = DemoSettings(
        seed=suite.evaluation.seed, nearest=min(suite.evaluation.nearest, len(points) - 1)
    )
    for (x, y), label, batch in zip(umap(points, settings), cells.label, cells.batch, strict=True):
        place = {"x": round(float(x), 2), "y": round(float(y), 2)}
        yield {"scenario": cells.name, "model": name, **place, "label": label, "batch": batch}
