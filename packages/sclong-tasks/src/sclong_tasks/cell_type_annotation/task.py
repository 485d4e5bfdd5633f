"""The task of cell-type annotation: files, split, metrics, models by name."""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.cell_type_annotation.data import AnnotationData, AnnotationSettings, read_cells
from sclong_tasks.cells import read_h5ad
from sclong_tasks.finetuning.labels import draw_parts
from sclong_tasks.finetuning.scores import ENOUGH_GROUPS, balanced_accuracy, macro_f1
from sclong_tasks.metrics.intervals import bootstrap_interval
from sclong_tasks.models import encoder_models
from sclong_tasks.splits import Split, make_split
from sclong_tasks.task import DataFile, EncoderPlace, Metric, ModelSpec, ProtocolName, Rows, Task

_MODELS = "sclong_tasks.cell_type_annotation.models"
_FILE = "cells.h5ad"
HELD_OUT, BY_CELL = "held_out", "cell"
_LOG = logging.getLogger("sclong")


class CellTypeAnnotation(Task[AnnotationData]):
    """Types of held-out cells, learned from others."""

    name: ClassVar = "cell_type_annotation"
    title: ClassVar = "cell-type annotation: types of cells of held-out donors or batches"
    encoders: ClassVar = (EncoderPlace(f"{_MODELS}:Encoded"),)
    models: ClassVar = {
        **encoder_models(encoders[0]),
        "sclong_cell": ModelSpec(
            f"{_MODELS}:Encoded",
            options={"pool": "cell", "encoder": {"name": "sclong"}},
            summary="scLong, its own vector of the cell, of a model that has one",
        ),
        "pca_logistic": ModelSpec(
            f"{_MODELS}:Regression", "simple", summary="logistic regression on components"
        ),
        "pca_neighbours": ModelSpec(
            f"{_MODELS}:Neighbours", "simple", summary="15 nearest cells in components"
        ),
        "commonest": ModelSpec(
            f"{_MODELS}:Commonest", "floor", summary="the commonest type of training"
        ),
        "permuted_types": ModelSpec(
            f"{_MODELS}:Permuted", "floor", summary="the regression, on permuted types"
        ),
    }
    baselines: ClassVar = ("pca_logistic", "pca_neighbours")
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]] = {
        "honest": (HELD_OUT, BY_CELL),
        "published": (HELD_OUT, BY_CELL),
    }
    data_files: ClassVar = (
        DataFile(
            _FILE,
            "cells with types in obs, and donors or batches: any h5ad file",
            "that of the file",
            any_name=True,
        ),
    )
    headline: ClassVar = ("macro_f1",)
    inputs: ClassVar = {"cells": "h5ad file of new cells with the genes of the run"}
    Settings: ClassVar = AnnotationSettings

    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """Copy the file, after it was read."""
        read_h5ad(sources[_FILE])
        shutil.copyfile(sources[_FILE], folder / _FILE)

    def load(self, folder: Path, settings: AnnotationSettings) -> AnnotationData:
        """Read the cells by the columns that the settings name."""
        return read_cells(folder / _FILE, settings)

    def split(
        self, data: AnnotationData, *, scenario: str, seed: int, settings: AnnotationSettings
    ) -> Split:
        """Groups apart where the file has them, else cells; by cell in the scenario "cell"."""
        del settings
        groups = None
        if scenario == HELD_OUT and (data.group != "").all():
            groups = data.group
        elif scenario == HELD_OUT:
            _LOG.warning(
                "the cells name no donors or batches (task.group_key): they are split by cell, "
                "and scores hold for cells of the same donors"
            )
        try:
            parts = draw_parts(data.cell_type, groups, seed)
        except InputError as error:
            raise InputError(f"{error}; or choose --scenario {BY_CELL}") from error
        unit = "cell" if groups is None else "group"
        return make_split(parts, name=scenario, seed=seed, unit=unit)

    def evaluate(
        self,
        data: AnnotationData,
        predictions: pd.DataFrame,
        split: Split,
        settings: AnnotationSettings,
    ) -> list[Metric]:
        """Macro-F1, accuracy and balanced accuracy of the most probable types."""
        types = np.asarray(predictions.columns, dtype=str)
        told = types[predictions.to_numpy().argmax(1)]
        every, codes = np.unique(
            np.concatenate([data.cell_type[split.test], told]), return_inverse=True
        )
        true, found = np.split(codes.astype(np.int64), 2)
        groups = data.group[split.test]
        whole = split.unit == "group" and len(np.unique(groups)) >= ENOUGH_GROUPS
        units = groups if whole else np.arange(len(true)).astype(str)

        def metric(name: str, measure: Callable[[Rows, Rows], float]) -> Metric:
            low, high = bootstrap_interval(
                lambda rows: measure(true[rows], found[rows]), units, draws=settings.bootstrap
            )
            value = measure(true, found)
            unit = "group" if whole else "cell"
            return Metric(
                name, value, len(true), higher_is_better=True, unit=unit, low=low, high=high
            )

        recalls = [
            Metric(
                "recall",
                float((found[true == code] == code).mean()),
                int((true == code).sum()),
                higher_is_better=True,
                unit="cell",
                stratum=str(every[code]),
            )
            for code in np.unique(true)
        ]
        return [
            metric("macro_f1", macro_f1),
            metric("accuracy", lambda one, other: float((one == other).mean())),
            metric("balanced_accuracy", balanced_accuracy),
            *recalls,
        ]

    def read_inputs(self, inputs: Mapping[str, Path], known: AnnotationData) -> AnnotationData:
        """New cells; their types may be missing."""
        return read_cells(inputs["cells"], known.settings, new=True)
