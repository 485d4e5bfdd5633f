"""The task of drug response: files, splits, metrics, models by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.drug_response import data as reading
from sclong_tasks.drug_response.config import DrugResponseSettings
from sclong_tasks.drug_response.data import TARGET, DrugResponseData
from sclong_tasks.drug_response.metrics import measure
from sclong_tasks.figures import predicted_and_true
from sclong_tasks.models import encoder_models
from sclong_tasks.splits import IntArray, Split, grouped_parts, make_split, random_parts
from sclong_tasks.task import (
    DataFile,
    EncoderPlace,
    Metric,
    ModelSpec,
    ProtocolName,
    PublishedNumber,
    Task,
)

_DEEPCDR = "https://raw.githubusercontent.com/kimmo1019/DeepCDR/master/data"
_MIT = "MIT (DeepCDR)"
_FILES = {
    "responses": "GDSC_IC50.csv",
    "drugs": "1.Drug_listMon Jun 24 09_00_55 2019.csv",
    "smiles": "223drugs_pubchem_smiles.txt",
    "annotations": "Cell_lines_annotations_20181226.txt",
    "expression": "genomic_expression_561celllines_697genes_demap_features.csv",
    "methylation": "genomic_methylation_561celllines_808genes_demap_features.csv",
}
_MODELS = "sclong_tasks.drug_response.models"
_GROUPS = {
    "pair": "pair of line and compound",
    "cell_line": "cell line",
    "tissue": "tissue",
    "drug": "drug",
}
TCGA_LABELS = (
    "ALL", "BLCA", "BRCA", "CESC", "DLBC", "LIHC", "LUAD", "ESCA", "GBM", "HNSC", "KIRC", "LAML",
    "LCML", "LGG", "LUSC", "MESO", "MM", "NB", "OV", "PAAD", "SCLC", "SKCM", "STAD", "THCA",
    "COAD/READ",
)  # fmt: skip
"""Labels within which the released code splits; rows of others are dropped there."""
_PAPER = "scLong, Fig. 4b and text: one random 95/5 split"


class DrugResponse(Task[DrugResponseData]):
    """ln IC50 of a drug in a cell line."""

    name: ClassVar = "drug_response"
    title: ClassVar = "cancer drug response: ln IC50 of a drug in a cell line (DeepCDR)"
    encoders: ClassVar = (EncoderPlace(f"{_MODELS}.neural:NeuralModel", trained=True),)
    models: ClassVar = {
        **encoder_models(encoders[0]),
        "deepcdr": ModelSpec(
            f"{_MODELS}.neural:NeuralModel", summary="DeepCDR: the same network on expression"
        ),
        "linear": ModelSpec(
            f"{_MODELS}.simple:Linear", "simple", summary="ridge regression on lines and drugs"
        ),
        "ridge_pca": ModelSpec(
            f"{_MODELS}.simple:RidgePca", "simple", summary="ridge regression on components"
        ),
        "gradient_boosting": ModelSpec(
            f"{_MODELS}.simple:GradientBoosting", "simple", summary="boosted trees"
        ),
        "random_forest": ModelSpec(
            f"{_MODELS}.simple:RandomForest", "simple", summary="random forest"
        ),
        "low_rank": ModelSpec(
            f"{_MODELS}.identity:LowRank", "floor", summary="completed matrix of lines and drugs"
        ),
        "drug_line_offsets": ModelSpec(
            f"{_MODELS}.identity:Offsets", "floor", summary="effects of drug and line that add up"
        ),
        "drug_mean": ModelSpec(f"{_MODELS}.identity:DrugMean", "floor", summary="mean of the drug"),
        "mean": ModelSpec(f"{_MODELS}.identity:Mean", "floor", summary="one mean for all"),
    }
    # Effects that add up come first: Nat Commun 2026, 10.1038/s41467-026-72903-w.
    baselines: ClassVar = ("drug_line_offsets", "ridge_pca", "linear", "drug_mean")
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]] = {
        "honest": ("pair", "cell_line", "tissue", "drug"),
        "published": ("random", "tcga_labels"),
    }
    data_files: ClassVar = (
        DataFile(
            _FILES["responses"],
            "ln IC50 of drugs in cell lines (GDSC)",
            _MIT,
            f"{_DEEPCDR}/CCLE/GDSC_IC50.csv",
            "9dad3b047e20b59b88d88ba00f64ef53e7dcfc11e7cceab19d9e79ae746105bb",
        ),
        DataFile(
            _FILES["drugs"],
            "names and PubChem ids of drugs",
            _MIT,
            f"{_DEEPCDR}/GDSC/1.Drug_listMon%20Jun%2024%2009_00_55%202019.csv",
            "b88757dd7aa7979251832b4866ff605f716854705d49ea4cb256f794e262a74e",
            aliases=("gdsc_drug_list_2019-06-24.csv",),
        ),
        DataFile(
            _FILES["smiles"],
            "structures of drugs",
            _MIT,
            f"{_DEEPCDR}/223drugs_pubchem_smiles.txt",
            "b2b21befca06d0d3a0fc0ec762eb3e2184436851b6bebddddccf8cc60339d9c4",
        ),
        DataFile(
            _FILES["annotations"],
            "tissues and TCGA labels of cell lines (CCLE)",
            _MIT,
            f"{_DEEPCDR}/CCLE/Cell_lines_annotations_20181226.txt",
            "77648d1cada2f325ba2c049a5fb5408434f73b963c8e1148fb82ba2653e469e1",
        ),
        DataFile(
            _FILES["expression"],
            "log2 of TPM plus 1 of 697 cancer genes (DepMap)",
            _MIT,
            f"{_DEEPCDR}/CCLE/{_FILES['expression']}",
            aliases=("dualgcn_ccle_expression_525x697.csv",),
        ),
        DataFile(
            _FILES["methylation"],
            "which cell lines the original uses, where expression lacks some",
            _MIT,
            f"{_DEEPCDR}/CCLE/{_FILES['methylation']}",
            "a03330ff78ef67424178babe2dd3383ca89e8443b870f2f68bd65615199c7913",
            required=False,
        ),
    )
    inputs: ClassVar = {
        "pairs": "table with a column line, and a column smiles or pubchem",
        "expression": "table of new lines: rows lines, columns genes, log2 of TPM plus 1",
    }
    papers_rows: ClassVar = 107_446
    papers_digests: ClassVar = ("9691288f",)  # 525 of the 561 lines: others have no expression here
    published: ClassVar = (
        PublishedNumber("sclong", "random", "pearson", 0.878, _PAPER),
        PublishedNumber("scFoundation", "random", "pearson", 0.867, _PAPER),
        PublishedNumber("Geneformer", "random", "pearson", 0.852, _PAPER),
        PublishedNumber("scGPT", "random", "pearson", 0.841, _PAPER),
        PublishedNumber("UCE", "random", "pearson", 0.837, _PAPER),
        PublishedNumber("deepcdr", "random", "pearson", 0.837, _PAPER),
        PublishedNumber("linear", "random", "pearson", 0.746, _PAPER),
    )
    Settings: ClassVar = DrugResponseSettings

    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """Convert the original files; see :mod:`sclong_tasks.drug_response.reading`."""
        reading.prepare(sources, folder, _FILES)

    def load(self, folder: Path, settings: DrugResponseSettings) -> DrugResponseData:
        """Read prepared rows of the lines that the settings choose."""
        return reading.load(folder, lines=settings.lines)

    def split(
        self, data: DrugResponseData, *, scenario: str, seed: int, settings: DrugResponseSettings
    ) -> Split:
        """Random as published, or with whole pairs, lines, tissues or drugs held out."""
        sizes = (settings.test_fraction, settings.validation_fraction)
        empty = "" if settings.validation_fraction else "validation"
        if scenario == "random":
            rows = np.arange(len(data.table))
            parts = random_parts(rows, _counts(len(rows), *sizes), seed)
        elif scenario == "tcga_labels":
            parts = _within_labels(data.table["tcga"].to_numpy(), *sizes, seed)
        else:
            fractions = {"test": sizes[0], "validation": sizes[1]}
            chosen = {name: value for name, value in fractions.items() if value}
            parts = grouped_parts(groups(data, scenario), chosen, seed)
        unit = _GROUPS.get(scenario, "row")
        return make_split(parts, name=scenario, seed=seed, unit=unit, may_be_empty=empty)

    def selection(self, split: Split, settings: DrugResponseSettings) -> Split:
        """As published, models select on the test rows."""
        if not settings.select_on_test:
            return split
        return Split(split.name, split.seed, split.unit, split.train, split.test, split.test)

    def evaluate(
        self,
        data: DrugResponseData,
        predictions: pd.DataFrame,
        split: Split,
        settings: DrugResponseSettings,
    ) -> list[Metric]:
        """See :func:`sclong_tasks.drug_response.metrics.measure`."""
        predicted = predictions[TARGET].to_numpy(dtype=np.float64)
        return measure(data, split.test, predicted, scenario=split.name, draws=settings.bootstrap)

    def read_inputs(self, inputs: Mapping[str, Path], known: DrugResponseData) -> DrugResponseData:
        """See :func:`sclong_tasks.drug_response.data.read_pairs`."""
        return reading.read_pairs(inputs, known)

    def figures(
        self, data: DrugResponseData, predictions: pd.DataFrame, split: Split
    ) -> Mapping[str, Element]:
        """Predicted over true ln IC50."""
        predicted = predictions[TARGET].tolist()
        return {
            "predicted": predicted_and_true(
                data.target[split.test].tolist(), predicted, name="ln IC50", seed=split.seed
            )
        }


def groups(data: DrugResponseData, scenario: str) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    """What is never in two parts of a split, one value a row."""
    lines, compounds = data.table["line"].astype(str).to_numpy(), data.compound.astype(str)
    if scenario == "pair":
        return np.char.add(np.char.add(lines.astype(str), " "), compounds)
    found = {"cell_line": lines, "tissue": data.table["tissue"].to_numpy(), "drug": compounds}
    return np.asarray(found[scenario]).astype(str)


def _counts(rows: int, test: float, validation: float) -> dict[str, int]:
    return {"test": int(test * rows), "validation": int(validation * rows)}


def _within_labels(
    labels: "np.ndarray[tuple[int], np.dtype[np.object_]]",
    test: float,
    validation: float,
    seed: int,
) -> dict[str, IntArray]:
    """As the released code: within each of its labels, the training part rounded down."""
    parts: dict[str, list[IntArray]] = {"train": [], "validation": [], "test": []}
    for number, label in enumerate(TCGA_LABELS):
        rows = np.flatnonzero(labels == label)
        training = int((1 - test - validation) * len(rows))
        held = {"validation": int(validation * len(rows))}
        held["test"] = len(rows) - training - held["validation"]
        for part, chosen in random_parts(rows, held, seed * len(TCGA_LABELS) + number).items():
            parts[part].append(chosen)
    if not sum(map(len, parts["train"])):
        raise InputError("no cell line has one of the TCGA labels that the released code knows")
    return {part: np.concatenate(found) for part, found in parts.items()}
