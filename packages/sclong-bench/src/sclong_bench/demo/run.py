"""One run of the demonstration, from the cells to the page."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sclong_bench.demo.data import DemoData, prepare, write_data
from sclong_bench.demo.demo_run import DemoRun
from sclong_bench.demo.evaluate import (
    Floats,
    cell_type_accuracy,
    embed,
    principal_components,
    reconstruction,
    umap,
)
from sclong_bench.demo.folder import EMBEDDED, FORMAT, REPORT, RESULTS, output_folder
from sclong_bench.demo.page import demo_page
from sclong_bench.demo.record import this_machine, versions
from sclong_bench.demo.results import MINI, PCA, SCLONG, Row, as_json
from sclong_bench.demo.settings import DemoSettings
from sclong_bench.demo.shipped import Shipped, embed_shipped, knows_genes
from sclong_bench.demo.stages import Stages
from sclong_bench.demo.story import (
    accuracy_line,
    counted,
    reconstruction_line,
    shipped_lines,
    time_line,
)
from sclong_bench.demo.train import Training, pretrain, steps_per_epoch
from sclong_core.checkpoint import read_checkpoint_info
from sclong_core.devices import one_thread
from sclong_core.files import atomic_file, write_json
from sclong_core.manifest import canonical_json
from sclong_data.report.page import write_page


def run_demo(output: Path, settings: DemoSettings, *, command: str, stages: Stages) -> DemoRun:
    """Prepare, pretrain, embed, measure, and write the page and all that belongs to it.

    Args:
        output: folder to create; a former demonstration is replaced when this one is complete.
        settings: of the run.
        command: that started it, for the record.
        stages: told what is being done.

    Raises:
        InputError: ``output`` holds something else.
    """
    begun = time.monotonic()
    with one_thread(), output_folder(output) as folder:
        data = _prepare(folder, settings, stages)
        shipped = _shipped(data, stages)
        training = _pretrain(data, folder, settings, stages)
        rows = _reconstruct(data, training, settings, stages)
        spaces = _embed(data, training, settings, stages)
        if shipped is not None:
            spaces = {MINI: shipped.points, **spaces}
        rows += cell_type_accuracy(spaces, data.cell_types, settings)
        with stages.stage("maps", "drawing maps of the cells") as stage:
            maps = {name: umap(points, settings) for name, points in spaces.items()}
            stage.outcome = f"UMAP of {' and '.join(maps)}"
        outcome = DemoRun(
            settings=settings,
            data=data,
            training=training,
            shipped=shipped,
            rows=tuple(rows),
            maps=maps,
            digests=_digests(data, training, shipped, settings),
            versions=versions(),
            machine=this_machine(),
            command=command,
            seconds=dict(stages.seconds),
            total_seconds=time.monotonic() - begun,
        )
        _write(folder, outcome, spaces)
    return outcome


def _prepare(folder: Path, settings: DemoSettings, stages: Stages) -> DemoData:
    with stages.stage("cells", "reading cells, deriving gene vectors and graph") as stage:
        data = prepare(settings)
        write_data(data, folder)
        training = int(data.training.sum())
        stage.outcome = (
            f"{training} for training, {data.training.size - training} held out; "
            f"{len(data.vocabulary)} genes, {data.graph.edge_weight.size:,} edges"
        )
    return data


def _shipped(data: DemoData, stages: Stages) -> Shipped | None:
    if not knows_genes(data.cells):
        return None
    with stages.stage(
        "scLong-mini", "embedding with the model that comes with the package"
    ) as stage:
        shipped = embed_shipped(data.cells)
        if shipped is not None:
            stage.outcome = f"{len(shipped.points)} cells that it never saw"
    return shipped


def _pretrain(data: DemoData, folder: Path, settings: DemoSettings, stages: Stages) -> Training:
    steps = settings.epochs * steps_per_epoch(data, settings)
    with stages.stage("pretraining", "pretraining", steps=steps) as stage:
        training = pretrain(data, folder, settings, stage.advance)
        stage.outcome = (
            f"{training.parameters:,} parameters, {counted(settings.epochs, 'epoch')}, "
            f"{training.steps:,} steps of {settings.batch_size} cells"
        )
    return training


def _reconstruct(
    data: DemoData, training: Training, settings: DemoSettings, stages: Stages
) -> list[Row]:
    with stages.stage("reconstruction", "reconstructing hidden values of held-out cells") as stage:
        rows = list(reconstruction(training.model_folder, data, settings))
        stage.outcome = f"{settings.masks} draws of hidden values in cells never trained on"
    return rows


def _embed(
    data: DemoData, training: Training, settings: DemoSettings, stages: Stages
) -> dict[str, Floats]:
    with stages.stage("embedding", "embedding all cells") as stage:
        spaces = {
            SCLONG: embed(training.model_folder, data.cells),
            PCA: principal_components(data.expression, settings.components),
        }
        shapes = (f"{name} {points.shape[1]}" for name, points in spaces.items())
        stage.outcome = f"{data.training.size} cells; dimensions: {', '.join(shapes)}"
    return spaces


def _digests(
    data: DemoData, training: Training, shipped: Shipped | None, settings: DemoSettings
) -> dict[str, str]:
    of_shipped = {} if shipped is None else {"checkpoint of scLong-mini": shipped.digest}
    return {
        **of_shipped,
        "cells, labels and split": data.digest,
        "vocabulary": data.vocabulary.digest,
        "gene graph": data.graph.digest,
        "gene vectors": hashlib.sha256(data.gene_vectors.tobytes()).hexdigest(),
        "settings": hashlib.sha256(canonical_json(settings.to_dict()).encode()).hexdigest(),
        "checkpoint": read_checkpoint_info(training.model_folder).digest,
    }


def _write(folder: Path, outcome: DemoRun, spaces: Mapping[str, Floats]) -> None:
    """Write what was found; the page comes last."""
    cells = outcome.data.cells.copy()
    if MINI in spaces:
        cells.obsm["X_sclong_mini"] = spaces[MINI]
    cells.obsm["X_sclong"] = spaces[SCLONG]
    cells.obsm["X_pca"] = spaces[PCA]
    for name, points in outcome.maps.items():
        cells.obsm[f"X_umap_{name.lower().replace('-', '_')}"] = points
    cells.uns["sclong"] = {"checkpoint_digest": outcome.digests["checkpoint"], "pool": "mean"}
    with atomic_file(folder / EMBEDDED) as temporary:
        cells.write_h5ad(temporary)
    write_json(folder / RESULTS, results(outcome))
    write_page(folder / REPORT, demo_page(outcome))


def results(outcome: DemoRun) -> dict[str, Any]:
    """What ``results.json`` holds: neither time nor place, so that equal runs write equal files."""
    training = outcome.training
    return {
        "format": FORMAT,
        "format_version": 1,
        "settings": outcome.settings.to_dict(),
        "digests": dict(outcome.digests),
        "versions": dict(outcome.versions),
        "cells": {
            "training": int(outcome.data.training.sum()),
            "held_out": int((~outcome.data.training).sum()),
            "genes": len(outcome.data.vocabulary),
        },
        "model": {"parameters": training.parameters, "steps": training.steps},
        "loss": [
            {"cells": where, "epoch": epoch, "value": value}
            for where, curve in (
                ("training", training.training_loss),
                ("held out", training.held_out_loss),
            )
            for epoch, value in curve
        ],
        "rows": as_json(outcome.rows),
    }


def main_numbers(outcome: DemoRun) -> list[tuple[str, str]]:
    """What the terminal shows at the end."""
    return [
        *shipped_lines(outcome),
        ("held-out R2", reconstruction_line(outcome)),
        ("cell types", accuracy_line(outcome)),
        ("time", time_line(outcome)),
    ]
