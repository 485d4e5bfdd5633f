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
from sclong_tasks.metrics.leiden import require_leiden
from sclong_tasks.models import encoder_models
from sclong_tasks.splits import Split, make_split
from sclong_tasks.task import (
    DataFile,
    EncoderPlace,
    Metric,
    ModelSpec,
    ProtocolName,
    PublishedNumber,
    Role,
    Task,
)

_MODELS = "sclong_tasks.batch_integration.models"
_FILE = "cells.h5ad"
SCENARIO = "zero_shot"
_PAPER = "scLong, Fig. 6 and text: scIB's pancreas, one value each"
_ABLATION = "scLong, Fig. 7 and text: scIB's pancreas; by order of mention"


def _by_pool(encoder: str, role: Role, what: str) -> dict[str, ModelSpec]:
    """ScLong with each rule from genes to a cell beside the paper's."""
    name = "sclong" if encoder == "sclong" else "random_sclong"
    return {
        f"{name}_{suffix}": ModelSpec(
            f"{_MODELS}.sclong:ScLongSums",
            role,
            {"pool": pool, "encoder": {"name": encoder}},
            f"{what}, {words}",
        )
        for suffix, pool, words in (
            ("mean", "mean", "the mean over genes"),
            ("mean_expressed", "mean_expressed", "the mean over expressed genes"),
            ("expression_weighted", "expression_weighted", "the mean weighted by expression"),
        )
    }


def _variants() -> dict[str, ModelSpec]:
    """ScLong on the paper's scale of the input, and over measured genes alone."""
    scale, measured = "input to a maximum of 10", "over measured genes alone"
    ten, known, mean = {"maximum": 10.0}, {"measured": True}, {"pool": "mean"}
    return {
        f"sclong_{suffix}": ModelSpec(
            f"{_MODELS}.sclong:ScLongVariant", "model", dict(options), f"scLong, {words}"
        )
        for suffix, options, words in (
            ("maximum_10", ten, f"its sums, {scale}"),
            ("measured", known, f"its sums {measured}"),
            ("measured_maximum_10", ten | known, f"its sums {measured}, {scale}"),
            ("mean_measured", mean | known, f"the mean {measured}"),
            ("mean_measured_maximum_10", mean | ten | known, f"the mean {measured}, {scale}"),
        )
    }


class BatchIntegration(Task[IntegrationData]):
    """Embeddings of cells, without training, measured by batches and types."""

    name: ClassVar = "batch_integration"
    title: ClassVar = "zero-shot batch integration: embeddings of cells by batch and type (scIB)"
    encoders: ClassVar = (
        EncoderPlace(
            f"{_MODELS}.sclong:ScLongSums",
            classes=dict.fromkeys(
                ("gene2vec", "graph", "published", "function"), f"{_MODELS}.sclong:Encoded"
            ),
            without=("precomputed",),  # has options of its own
            own=("weights", "high_genes"),
        ),
    )
    models: ClassVar = {
        **encoder_models(encoders[0]),
        **_by_pool("sclong", "model", "scLong"),
        **_variants(),
        **_by_pool("random", "floor", "untrained scLong"),
        "sclong_cell": ModelSpec(
            f"{_MODELS}.sclong:ScLongSums",
            options={"pool": "cell"},
            summary="scLong, its own vector of the cell, of a model that has one",
        ),
        "raw": ModelSpec(f"{_MODELS}.simple:Raw", "simple", summary="expression of all genes"),
        "hvg": ModelSpec(f"{_MODELS}.simple:Hvg", "simple", summary="highly variable genes"),
        "pca": ModelSpec(
            f"{_MODELS}.simple:Pca", "simple", summary="components of highly variable genes"
        ),
        "denoising": ModelSpec(
            f"{_MODELS}.denoising:Denoising", summary="a denoising autoencoder of the cells"
        ),
        "harmony": ModelSpec(f"{_MODELS}.corrected:Harmony", "simple", summary="Harmony"),
        "scvi": ModelSpec(f"{_MODELS}.corrected:ScVi", "simple", summary="scVI"),
        "obsm": ModelSpec(f"{_MODELS}.simple:Obsm", summary="a matrix of the file's obsm"),
        "precomputed": ModelSpec(
            f"{_MODELS}.simple:FromFile", summary="embeddings by another program, from a file"
        ),
        "permuted_pca": ModelSpec(
            f"{_MODELS}.simple:Permuted", "floor", summary="components, each of another cell"
        ),
        "random_embedding": ModelSpec(
            f"{_MODELS}.simple:Random", "floor", summary="normal numbers"
        ),
        "constant_and_noise": ModelSpec(
            f"{_MODELS}.simple:ConstantAndNoise", "floor", summary="one place, a little noise"
        ),
        "label_embedding": ModelSpec(
            f"{_MODELS}.simple:Labels", "ceiling", summary="the cell type itself"
        ),
    }
    baselines: ClassVar = ("hvg", "pca", "raw")
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
    papers_rows: ClassVar = 16_382
    # Batch ASW alone is highest for embeddings that say nothing, so that mixing never stands alone.
    headline: ClassVar = ("bras", "nmi")
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
