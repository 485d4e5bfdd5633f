"""The grid of the evidence: each variant and seed is pretrained and measured, what is missing."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sclong_bench.evidence.data import EvidenceData, prepare
from sclong_bench.evidence.measured import Measured
from sclong_bench.evidence.measures import (
    MEASURES,
    RECORD,
    Found,
    Subject,
    add_measures,
    lacking,
    measure_all,
)
from sclong_bench.evidence.suite import EvidenceSuite
from sclong_bench.evidence.training import MODEL, pretrain
from sclong_core.checkpoint import read_checkpoint_info
from sclong_core.files import atomic_folder, write_json
from sclong_core.lock import LockedError, locked
from sclong_tasks.memory import peak_bytes, reset_peak
from sclong_tasks.results import FORMAT, config_digest, package_versions

_LOG = logging.getLogger("sclong")
RUNS, DATA = "runs", "data"
"""Folders in that of the evidence: results, prepared data."""
METRICS = "metrics.json"
"""File of a run: its rows."""


@dataclass(frozen=True)
class Made:
    """What a call has done."""

    made: int
    there: int
    elsewhere: int
    """Runs that another process is at."""
    measured: int = 0
    """Runs that were there, and got measures that they lacked."""


def prepare_evidence(suite: EvidenceSuite, data: Path, output: Path) -> EvidenceData:
    """Prepare the data of a suite in ``output``, unless it is there.

    Args:
        suite: what is run.
        data: folder of the original files.
        output: folder for data and runs.

    Raises:
        InputError: see :func:`sclong_bench.evidence.data.prepare`.
        LockedError: another process prepares it.
    """
    output.mkdir(parents=True, exist_ok=True)
    with locked(output / ".data.lock", f"the data in {output}"):
        return prepare(suite, data, output / DATA)


def run_evidence(suite: EvidenceSuite, prepared: EvidenceData, output: Path) -> Made:
    """Make what is missing of the evidence, seed by seed.

    Several processes may work on one folder; a run that was killed begins anew. One that is done is
    measured by what there was not when it was made, as long as its model is there.

    Args:
        suite: what is run.
        prepared: its data.
        output: folder of the runs.
    """
    torch.set_num_threads(1)
    counts = {"made": 0, "there": 0, "elsewhere": 0, "measured": 0}
    cells = _cells(suite)
    for number, (name, seed) in enumerate(cells, start=1):
        folder = output / RUNS / (name if seed is None else f"{name}-seed-{seed}")
        state = "there"
        if not (folder / METRICS).is_file() or lacking(folder / METRICS):
            state = _make(suite, (name, seed), prepared, folder)
        counts[state] += 1
        _LOG.info("%d of %d: %s seed %s: %s", number, len(cells), name, seed, state)
    return Made(**counts)


def _cells(suite: EvidenceSuite) -> list[tuple[str, int | None]]:
    """Simple methods, which nothing random belongs to, then all variants of each seed."""
    return [("simple", None), *((name, seed) for seed in suite.seeds for name in suite.variants)]


def _make(
    suite: EvidenceSuite,
    cell: tuple[str, int | None],
    data: EvidenceData,
    folder: Path,
) -> str:
    name, seed = cell
    folder.parent.mkdir(exist_ok=True)
    try:
        with locked(folder.with_name(f".{folder.name}.lock"), folder.name):
            if (folder / METRICS).is_file():
                return _add(suite, cell, data, folder)
            with atomic_folder(folder, overwrite=True) as made:
                reset_peak()
                begun, used = time.monotonic(), time.process_time()
                facts: dict[str, Any] = {}
                subject = _subject(cell, made)
                if seed is not None:
                    model = pretrain(suite, suite.variants[name], seed, data, made)
                    facts["training_seconds"] = round(time.monotonic() - begun, 1)
                    facts["training_processor_seconds"] = round(time.process_time() - used, 1)
                    facts["parameters"] = sum(p.numel() for p in model.parameters())
                    facts["tuning_budget"] = "none: steps and rate were fixed before"
                    facts["leakage_in_pretraining"] = "none: no cell of these data sets was seen"
                found = measure_all(subject, data, suite, made)
                rows = _rows(found, seed, _record(suite, subject, data, time.monotonic() - begun))
                facts[RECORD] = list(MEASURES)
                write_json(made / METRICS, {"format": FORMAT, "rows": list(rows), "facts": facts})
    except LockedError:
        return "elsewhere"
    return "made"


def _add(
    suite: EvidenceSuite, cell: tuple[str, int | None], data: EvidenceData, folder: Path
) -> str:
    """Measure a run that is done by what it lacks."""
    subject = _subject(cell, folder)

    def rows(found: Found, seconds: float) -> Iterator[dict[str, Any]]:
        return _rows(found, cell[1], _record(suite, subject, data, seconds))

    if not lacking(folder / METRICS):
        return "there"  # another process has just done it
    done = add_measures(folder / METRICS, subject, data, suite, rows)
    return "measured" if done else "there"


def _subject(cell: tuple[str, int | None], folder: Path) -> Subject:
    name, seed = cell
    return Subject(name, None if seed is None else folder / MODEL)


def _record(
    suite: EvidenceSuite, subject: Subject, data: EvidenceData, seconds: float
) -> dict[str, Any]:
    """What each row says of the run that it is of."""
    settings = {key: value for key, value in suite.to_dict().items() if key != "seeds"}
    variants, name = settings.pop("variants"), subject.name
    return {
        "stratum": "all",
        "variant": "",
        "split_digest": data.digest,
        "data_digest": data.digest,
        "config_digest": config_digest({**settings, "variant": variants.get(name, name)}),
        "checkpoint_digest": (
            "" if subject.checkpoint is None else read_checkpoint_info(subject.checkpoint).digest
        ),
        "code_version": version("sclong-bench"),
        "packages": package_versions(),
        "wall_seconds": seconds,
        "peak_memory_bytes": peak_bytes(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _rows(
    found: Mapping[str, Iterable[Measured]], seed: int | None, record: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    for model, rows in found.items():
        for row in rows:
            plain = asdict(row)
            value = plain["value"]
            plain["value"] = value if value == value else None  # noqa: PLR0124  # JSON has no NaN
            yield {**plain, "model": model, "seed": seed, **record}
