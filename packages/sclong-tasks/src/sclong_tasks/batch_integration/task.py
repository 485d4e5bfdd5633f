"""The task of batch integration: files, metrics, models by name."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from sclong_tasks.batch_integration.config import IntegrationSettings
from sclong_tasks.batch_integration.data import IntegrationData, read_cells
from sclong_tasks.batch_integration.metrics import measure
from sclong_tasks.cells import read_h5ad
from sclong_tasks.encoders.names import published_variants
from sclong_tasks.metrics.leiden import require_leiden
from sclong_tasks.splits import Split, make_split
from sclong_tasks.task import DataFile, Metric, ProtocolName, PublishedNumber, Task

_MODELS = "sclong_tasks.batch_integration.models"
_FILE = "cells.h5ad"
SCENARIO = "zero_shot"
_PAPER = "scLong, Fig. 6 and text: scIB's pancreas, one value each"
_ABLATION = "scLong, Fig. 7 and text: scIB's pancreas; by order of mention"


class BatchIntegration(Task[IntegrationData]):
    """Embeddings of cells, without training, measured by batches and types."""

    name: ClassVar = "batch_integration"
    title: ClassVar = "zero-shot batch integration: embeddings of cells by batch and type (scIB)"
    models: ClassVar = {
        "sclong": f"{_MODELS}.sclong:ScLongSums",
        "sclong_mean": f"{_MODELS}.sclong:ScLongMean",
        "sclong_mean_expressed": f"{_MODELS}.sclong:ScLongMeanExpressed",
        "sclong_expression_weighted": f"{_MODELS}.sclong:ScLongWeighted",
        "random_sclong": f"{_MODELS}.sclong:RandomScLong",
        "random_sclong_mean": f"{_MODELS}.sclong:RandomScLongMean",
        "random_sclong_mean_expressed": f"{_MODELS}.sclong:RandomScLongMeanExpressed",
        "random_sclong_expression_weighted": f"{_MODELS}.sclong:RandomScLongWeighted",
        "random_sclong_normal": f"{_MODELS}.sclong:NormalScLong",
        "sclong_no_low_expression": f"{_MODELS}.sclong:NoLowExpression",
        "sclong_random_low_expression": f"{_MODELS}.sclong:RandomLowExpression",
        "sclong_no_graph": f"{_MODELS}.sclong:NoGraph",
        "sclong_random_graph": f"{_MODELS}.sclong:RandomGraph",
        "sclong_shuffled_graph": f"{_MODELS}.sclong:ShuffledGraph",
        "gene2vec": f"{_MODELS}.sclong:Gene2vec",
        "graph": f"{_MODELS}.sclong:Graph",
        "raw": f"{_MODELS}.simple:Raw",
        "hvg": f"{_MODELS}.simple:Hvg",
        "pca": f"{_MODELS}.simple:Pca",
        "denoising": f"{_MODELS}.denoising:Denoising",
        "harmony": f"{_MODELS}.corrected:Harmony",
        "scvi": f"{_MODELS}.corrected:ScVi",
        "obsm": f"{_MODELS}.simple:Obsm",
        "precomputed": f"{_MODELS}.simple:FromFile",
        **published_variants(f"{_MODELS}.sclong:Encoded"),
        "permuted_pca": f"{_MODELS}.simple:Permuted",
        "random_embedding": f"{_MODELS}.simple:Random",
        "constant_and_noise": f"{_MODELS}.simple:ConstantAndNoise",
        "label_embedding": f"{_MODELS}.simple:Labels",
    }
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]] = {
        "honest": (SCENARIO,),
        "published": (SCENARIO,),
    }
    data_files: ClassVar = (
        DataFile(
            _FILE,
            "cells with batches and cell types in obs: any h5ad file",
            "that of the file",
            aliases=("human_pancreas_norm_complexBatch.h5ad", "pancreas_scib.h5ad"),
            any_name=True,
        ),
    )
    map_labels: ClassVar = ("batch", "cell_type")
    inputs: ClassVar = {"cells": "h5ad file of new cells with the genes of the run"}
    published: ClassVar = (
        PublishedNumber("sclong", SCENARIO, "batch_asw", 0.96, _PAPER),
        PublishedNumber("hvg", SCENARIO, "batch_asw", 0.89, _PAPER),
        PublishedNumber("scGPT", SCENARIO, "batch_asw", 0.89, _PAPER),
        PublishedNumber("scvi", SCENARIO, "batch_asw", 0.85, _PAPER),
        PublishedNumber("UCE", SCENARIO, "batch_asw", 0.83, _PAPER),
        PublishedNumber("scFoundation", SCENARIO, "batch_asw", 0.71, _PAPER),
        PublishedNumber("raw", SCENARIO, "batch_asw", 0.70, _PAPER),
        PublishedNumber("Geneformer", SCENARIO, "batch_asw", 0.62, _PAPER),
        PublishedNumber("sclong_no_low_expression", SCENARIO, "batch_asw", 0.88, _ABLATION),
        PublishedNumber("sclong_random_low_expression", SCENARIO, "batch_asw", 0.90, _ABLATION),
        PublishedNumber("sclong_no_graph", SCENARIO, "batch_asw", 0.91, _ABLATION),
        PublishedNumber("sclong_random_graph", SCENARIO, "batch_asw", 0.93, _ABLATION),
    )
    Settings: ClassVar = IntegrationSettings

    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """Copy the file, after it was read."""
        read_h5ad(sources[_FILE])
        shutil.copyfile(sources[_FILE], folder / _FILE)

    def load(self, folder: Path, settings: IntegrationSettings) -> IntegrationData:
        """Read the cells by the columns that the settings name."""
        return read_cells(folder / _FILE, settings)

    def split(
        self, data: IntegrationData, *, scenario: str, seed: int, settings: IntegrationSettings
    ) -> Split:
        """Nothing is trained: all cells are measured."""
        if settings.leiden:
            require_leiden()  # before the time is spent
        rows = np.arange(len(data.batch))
        return make_split(
            {"test": rows}, name=scenario, seed=seed, unit="cell", may_be_empty="train validation"
        )

    def evaluate(
        self,
        data: IntegrationData,
        predictions: pd.DataFrame,
        split: Split,
        settings: IntegrationSettings,
    ) -> list[Metric]:
        """See :func:`sclong_tasks.batch_integration.metrics.measure`."""
        return measure(
            predictions.to_numpy(dtype=np.float64),
            data.batch[split.test],
            data.cell_type[split.test],
            seed=split.seed,
            settings=settings,
        )

    def read_inputs(self, inputs: Mapping[str, Path], known: IntegrationData) -> IntegrationData:
        """New cells; their batches and types may be missing."""
        return read_cells(inputs["cells"], known.settings, new=True)
