"""The task of marker-gene clustering: files, metrics, models by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.marker_clustering import data as cells
from sclong_tasks.marker_clustering.config import MarkerSettings
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.marker_clustering.figures import draw_types
from sclong_tasks.marker_clustering.markers import PEGASUS, SCTYPE, read_table
from sclong_tasks.marker_clustering.metrics import measure
from sclong_tasks.models import encoder_models
from sclong_tasks.splits import Split, make_split
from sclong_tasks.task import DataFile, EncoderPlace, Metric, ModelSpec, ProtocolName, Task

_MODELS = "sclong_tasks.marker_clustering.models"
SCENARIO = "zero_shot"


class MarkerClustering(Task[MarkerData]):
    """Vectors of genes in cells of a type, without training, measured by known markers."""

    name: ClassVar = "marker_clustering"
    title: ClassVar = "marker-gene clustering: similarity of genes in cells of a type (Zheng68K)"
    encoders: ClassVar = (
        EncoderPlace(
            f"{_MODELS}:ScLongGenes",
            classes={
                **dict.fromkeys(("gene2vec", "graph", "function"), f"{_MODELS}:FixedVectors"),
                "published": f"{_MODELS}:PublishedGenes",
            },
            without=("precomputed",),  # has options of its own
        ),
    )
    models: ClassVar = {
        **encoder_models(encoders[0]),
        "sclong_single_encoder": ModelSpec(
            f"{_MODELS}:ScLongGenes",
            "ablation",
            {"encoder": {"name": "sclong", "high_genes": -1}},
            "all genes through the large encoder, the other one kept",
        ),
        "sclong_no_gene2vec": ModelSpec(
            f"{_MODELS}:ScLongGenes",
            "ablation",
            {"encoder": {"name": "sclong", "gene_vectors": "none"}},
            "earlier name of sclong_no_gene_vectors",
        ),
        "precomputed": ModelSpec(
            f"{_MODELS}:FromFile", summary="vectors of genes by another program"
        ),
        "correlation": ModelSpec(
            f"{_MODELS}:Correlation", "simple", summary="correlation over cells of a type"
        ),
        "expression_cosine": ModelSpec(
            f"{_MODELS}:ExpressionCosine", "simple", summary="cosine over cells of a type"
        ),
        "random": ModelSpec(f"{_MODELS}:Random", "floor", summary="random numbers"),
    }
    baselines: ClassVar = ("correlation", "expression_cosine")
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]] = {
        "honest": (SCENARIO,),
        "published": (SCENARIO,),
    }
    data_files: ClassVar = (
        DataFile(
            cells.CELLS,
            "cells with cell types in obs: any h5ad file",
            "that of the file",
            aliases=("Zheng68K_raw_65943_cells_20386_genes.h5ad", "pbmc68k_reduced.h5ad"),
            any_name=True,
        ),
        DataFile(SCTYPE, "markers by cell type (task.markers=sctype)", "GPL-3", required=False),
        DataFile(PEGASUS, "markers by cell type (task.markers=pegasus)", "BSD-3", required=False),
    )
    inputs: ClassVar = {
        "cells": "h5ad file of other cells with cell types",
        "markers": "table with columns cell_type and gene, in the words of the file",
    }
    Settings: ClassVar = MarkerSettings

    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """See :func:`sclong_tasks.marker_clustering.data.prepare`."""
        cells.prepare(sources, folder)

    def load(self, folder: Path, settings: MarkerSettings) -> MarkerData:
        """See :func:`sclong_tasks.marker_clustering.data.load`."""
        return cells.load(folder, settings)

    def split(
        self, data: MarkerData, *, scenario: str, seed: int, settings: MarkerSettings
    ) -> Split:
        """Nothing is trained: all genes of all types are measured."""
        del settings
        rows = np.arange(len(data.gene))
        return make_split(
            {"test": rows}, name=scenario, seed=seed, unit="gene", may_be_empty="train validation"
        )

    def evaluate(
        self,
        data: MarkerData,
        predictions: pd.DataFrame,
        split: Split,
        settings: MarkerSettings,
    ) -> list[Metric]:
        """See :func:`sclong_tasks.marker_clustering.metrics.measure`."""
        return measure(data, predictions, split.test, settings)

    def read_inputs(self, inputs: Mapping[str, Path], known: MarkerData) -> MarkerData:
        """Other cells, with their own markers.

        Raises:
            InputError: one of the two files is missing.
        """
        if set(inputs) != set(self.inputs):
            raise InputError("give both: --input cells=FILE.h5ad --input markers=FILE.csv")
        return cells.read_cells(inputs["cells"], read_table(inputs["markers"]), known.settings)

    def figures(
        self, data: MarkerData, predictions: pd.DataFrame, split: Split
    ) -> Mapping[str, Element]:
        """A clustered heat map of each cell type."""
        return draw_types(data, predictions, split.test)
