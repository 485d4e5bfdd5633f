"""Measures of the evidence by name, so that a run which is done can take on those it lacks.

A run records the names of what it was measured by. A measure that changes gets another name.
"""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sclong_bench.evidence.data import EvidenceData
from sclong_bench.evidence.genes import SCLONG, measure_genes, simple_methods
from sclong_bench.evidence.measure import measure_model, measure_simple
from sclong_bench.evidence.measured import Measured
from sclong_bench.evidence.suite import EvidenceSuite
from sclong_core.files import atomic_file, write_json
from sclong_core.model import ScLong

_LOG = logging.getLogger("sclong")
EMBEDDINGS = "embeddings.npz"
"""File of a run: ``(cells, numbers)`` by protocol and data set."""
RECORD = "measures"
"""Among the facts of a run: names of what it was measured by."""
Found = dict[str, list[Measured]]
"""Numbers by model."""
Rows = Callable[[Found, float], Iterable[dict[str, Any]]]
"""From numbers, and the seconds that they took, to rows of results."""


@dataclass(frozen=True)
class Subject:
    """What is measured: one model, or all simple methods."""

    name: str
    checkpoint: Path | None
    """None for the simple methods."""


Measure = Callable[[Subject, EvidenceData, EvidenceSuite, Path], Found]
"""The last argument is a folder for files."""


def _cells(subject: Subject, data: EvidenceData, suite: EvidenceSuite, folder: Path) -> Found:
    if subject.checkpoint is None:
        return measure_simple(data, suite)
    model = ScLong.from_pretrained(subject.checkpoint, device="cpu")
    found, embedded = measure_model(model, data, suite)
    with atomic_file(folder / EMBEDDINGS) as temporary:
        np.savez(temporary, allow_pickle=False, **embedded)
    return {subject.name: found}


def _genes(subject: Subject, data: EvidenceData, suite: EvidenceSuite, folder: Path) -> Found:
    methods = simple_methods(data) if subject.checkpoint is None else {subject.name: SCLONG}
    return {
        name: list(measure_genes(method, data, suite, folder, model=subject.checkpoint))
        for name, method in methods.items()
    }


MEASURES: Mapping[str, Measure] = {"cells": _cells, "genes": _genes}
"""All of them, in the order in which they are made."""
_UNRECORDED = ("cells", "genes")
"""What a run has that records nothing."""


def measure_all(subject: Subject, data: EvidenceData, suite: EvidenceSuite, folder: Path) -> Found:
    """Everything there is of one subject; files go to ``folder``."""
    found: Found = {}
    for measure in MEASURES.values():
        for name, rows in measure(subject, data, suite, folder).items():
            found.setdefault(name, []).extend(rows)
    return found


def lacking(path: Path) -> list[str]:
    """Names of the measures that a run which is done does not have.

    Args:
        path: of its results.
    """
    facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
    return [name for name in MEASURES if name not in facts.get(RECORD, _UNRECORDED)]


def add_measures(
    path: Path, subject: Subject, data: EvidenceData, suite: EvidenceSuite, rows: Rows
) -> bool:
    """Add to the results of a run what it lacks; whether that could be done.

    The model is not trained anew: where it is no longer there, that is said, and the results stay.

    Args:
        path: of the results.
        subject: with the model that the run left.
        data: the same that the run was made with.
        suite: the same.
        rows: makes rows of results.
    """
    missing = lacking(path)
    if subject.checkpoint is not None and not subject.checkpoint.is_dir():
        _LOG.warning(
            "%s is not measured by %s: its model is not in %s; remove that folder to train it anew",
            *(subject.name, ", ".join(missing), path.parent),
        )
        return False
    content = json.loads(path.read_text(encoding="utf-8"))
    for name in missing:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            found = MEASURES[name](subject, data, suite, Path(scratch))
        content["rows"] += list(rows(found, time.monotonic() - begun))
    content["facts"][RECORD] = list(MEASURES)
    write_json(path, content)
    return True
