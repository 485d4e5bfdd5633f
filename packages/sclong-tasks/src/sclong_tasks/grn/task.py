"""The task of gene regulatory networks: files, metrics, models by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from sclong_tasks.grn import data as reading
from sclong_tasks.grn.config import GrnSettings
from sclong_tasks.grn.data import TARGET, GrnData
from sclong_tasks.grn.figures import by_factor, precision_recall
from sclong_tasks.grn.metrics import density, measure, rank
from sclong_tasks.models import encoder_models
from sclong_tasks.splits import Split, make_split
from sclong_tasks.task import (
    DataFile,
    EncoderPlace,
    Metric,
    ModelSpec,
    ProtocolName,
    PublishedNumber,
    Task,
)

_MODELS = "sclong_tasks.grn.models"
_BEELINE = "CC BY 4.0 (BEELINE, Zenodo 3378975)"
NETWORKS = {
    "ChIP-seq-network.csv": "specific",
    "Non-specific-ChIP-seq-network.csv": "non_specific",
    "STRING-network.csv": "string",
    "mESC-lofgof-network.csv": "lofgof",
    "refNetwork.csv": "reference",
}
"""File -> scenario."""
_SCENARIOS = tuple(NETWORKS.values())
_PAPER = "scLong, Fig. 5b and text: hESC, all 17,735 genes, factors of the network"
_HISTORY = "earlier plotting scripts of the release: epochs 10 to 14 of one run"
_ABLATION = "scLong, Fig. 7 and text"
_AUPR = {
    "sclong": 1.35, "scGPT": 1.17, "Geneformer": 1.12, "deepsem": 1.11, "UCE": 1.10,
    "genie3": 1.08, "scFoundation": 1.04, "graph": 1.02,
}  # fmt: skip
_EPR = {"sclong": 1.21, "Geneformer": 1.18, "deepsem": 1.15}
_ABLATED = {
    "sclong_no_low_expression": 1.11,
    "sclong_random_low_expression": 1.10,
    "sclong_no_graph": 1.12,
    "sclong_random_graph": 1.12,
}
_PAPERS_GENES = 17_735


class GeneRegulatoryNetworks(Task[GrnData]):
    """Weights of edges from transcription factors to genes, without labels."""

    name: ClassVar = "grn"
    title: ClassVar = "gene regulatory networks: edges from factors to genes (BEELINE, DeepSEM)"
    encoders: ClassVar = (
        EncoderPlace(f"{_MODELS}.deepsem:DeepSem", own=("weights", "high_genes")),
        EncoderPlace(
            f"{_MODELS}.representation:Cosine", own=("weights", "high_genes"), suffix="_cosine"
        ),
    )
    models: ClassVar = {
        **encoder_models(encoders[0]),
        **encoder_models(encoders[1]),
        "sclong_permuted": ModelSpec(
            f"{_MODELS}.deepsem:DeepSem",
            "floor",
            {"permuted": True, "encoder": {"name": "sclong"}},
            "scLong's representations, each of another gene",
        ),
        "deepsem": ModelSpec(
            f"{_MODELS}.deepsem:DeepSem",
            options={"start": "uniform"},
            summary="DeepSEM as its authors start it",
        ),
        "deepsem_correlation": ModelSpec(
            f"{_MODELS}.deepsem:DeepSem",
            options={"start": "correlation"},
            summary="DeepSEM from the correlation of expression",
        ),
        "genie3": ModelSpec(f"{_MODELS}.genie3:Genie3", "simple", summary="GENIE3"),
        "graph": ModelSpec(
            f"{_MODELS}.simple:GoGraph", "simple", summary="edges of the gene graph itself"
        ),
        "correlation": ModelSpec(
            f"{_MODELS}.simple:Correlation", "simple", summary="correlation of expression"
        ),
        "partial_correlation": ModelSpec(
            f"{_MODELS}.simple:PartialCorrelation", "simple", summary="partial correlation"
        ),
        "edge_list": ModelSpec(
            f"{_MODELS}.simple:EdgeList", summary="weights by another program, from a file"
        ),
        "random": ModelSpec(f"{_MODELS}.simple:Random", "floor", summary="random weights"),
    }
    baselines: ClassVar = ("correlation", "genie3", "partial_correlation")
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]] = {
        "honest": _SCENARIOS,
        "published": _SCENARIOS,
    }
    data_files: ClassVar = (
        DataFile(
            "ExpressionData.csv",
            "expression, one line a gene; without it networks alone are read",
            _BEELINE,
            required=False,
            aliases=("BL--ExpressionData.csv", "data.csv"),
        ),
        DataFile(
            "ChIP-seq-network.csv",
            "network of the same cell type",
            _BEELINE,
            required=False,
            aliases=(
                "hESC-ChIP-seq-network.csv",
                "HepG2-ChIP-seq-network.csv",
                "mDC-ChIP-seq-network.csv",
                "mESC-ChIP-seq-network.csv",
                "mHSC-ChIP-seq-network.csv",
                "Specific.BL--network.csv",
                "deepsem_500_ChIP-seq_hESC_label.csv",
                "label.csv",
            ),
        ),
        DataFile(
            "Non-specific-ChIP-seq-network.csv",
            "network of other cell types",
            _BEELINE,
            required=False,
            aliases=("Non-Specific-ChIP-seq-network.csv", "Non-Specific.BL--network.csv"),
        ),
        DataFile(
            "STRING-network.csv",
            "functional network",
            _BEELINE,
            required=False,
            aliases=("STRING.BL--network.csv", "deepsem_500_STRING_hESC_label.csv"),
        ),
        DataFile(
            "mESC-lofgof-network.csv",
            "network by loss and gain of function",
            _BEELINE,
            required=False,
        ),
        DataFile(
            "refNetwork.csv",
            "the network that made simulated cells",
            "GPL-3 (BEELINE)",
            required=False,
            aliases=("GroundTruthNetwork.csv",),
        ),
        DataFile(
            "tfs.csv",
            "list of transcription factors; without it, sources of edges are the regulators",
            _BEELINE,
            required=False,
            aliases=("human-tfs.csv", "mouse-tfs.csv", "Specific.TF.csv"),
        ),
    )
    inputs: ClassVar = {"edges": "table with columns Gene1 (regulator) and Gene2 (target)"}
    published: ClassVar = (
        *(PublishedNumber(m, "specific", "aupr_ratio", v, _PAPER) for m, v in _AUPR.items()),
        *(PublishedNumber(m, "specific", "epr", v, _HISTORY) for m, v in _EPR.items()),
        *(PublishedNumber(m, "specific", "aupr_ratio", v, _ABLATION) for m, v in _ABLATED.items()),
    )
    Settings: ClassVar = GrnSettings

    def is_papers(self, data: GrnData) -> bool:
        """By the genes of the paper's hESC, which are all that were measured."""
        return len(data.genes) == _PAPERS_GENES

    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """Convert the original files; see :mod:`sclong_tasks.grn.reading`."""
        reading.prepare(sources, folder, NETWORKS)

    def load(self, folder: Path, settings: GrnSettings) -> GrnData:
        """Read the prepared files, and make the candidates."""
        return reading.load(folder, settings)

    def split(self, data: GrnData, *, scenario: str, seed: int, settings: GrnSettings) -> Split:
        """Nothing is trained on labels: all candidates of a network are scored."""
        del settings
        rows = data.rows_of(scenario)
        return make_split(
            {"test": rows}, name=scenario, seed=seed, unit="factor", may_be_empty="train validation"
        )

    def evaluate(
        self, data: GrnData, predictions: pd.DataFrame, split: Split, settings: GrnSettings
    ) -> list[Metric]:
        """Edges of factors first, then those between all genes where they were asked for."""
        rows = split.test
        edge, size = data.edge[rows], np.abs(predictions[TARGET].to_numpy(dtype=np.float64))
        source, target = data.source[rows], data.target[rows]
        loops = source == target
        # A weight of 0 is not a predicted edge, and no model says anything of a gene and itself.
        size[(size == 0) | loops] = -1
        factor = np.isin(source, np.unique(source[edge > 0]))
        by_order = settings.ties == "first"

        def measured(
            stratum: str, chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
        ) -> list[Metric]:
            return measure(
                edge[chosen],
                size[chosen],
                source[chosen],
                ties=settings.ties,
                draws=settings.bootstrap,
                stratum=stratum,
                loops=int(loops[chosen].sum()) if by_order else 0,
            )

        found = measured("all", factor)
        if loops.any() and not by_order:
            early = {one.name: one for one in measured("all", factor & ~loops)}
            found = [early[one.name] if one.name in _EARLY else one for one in found]
        if settings.candidates == "pairs":
            found += measured("all pairs", np.ones(len(rows), dtype=bool))
        every = Metric(
            "density", float(edge.sum() / len(data.genes) ** 2), len(data.genes) ** 2,
            higher_is_better=True, unit="pair", stratum="all genes",
        )  # fmt: skip
        return [*found, every]

    def read_inputs(self, inputs: Mapping[str, Path], known: GrnData) -> GrnData:
        """See :func:`sclong_tasks.grn.data.read_edges`."""
        return reading.read_edges(inputs["edges"], known)

    def figures(
        self, data: GrnData, predictions: pd.DataFrame, split: Split
    ) -> Mapping[str, Element]:
        """Precision over recall, and precision of the factors with most edges."""
        rows = split.test
        ranking = rank(data.edge[rows], np.abs(predictions[TARGET].to_numpy(dtype=np.float64)))
        names = np.asarray(data.genes)[data.source[rows]]
        return {
            "precision_recall": precision_recall(ranking, density(ranking)),
            "factors": by_factor(ranking, names),
        }


_EARLY = ("epr", "early_precision")
"""Metrics that BEELINE takes without edges of a factor to itself."""
