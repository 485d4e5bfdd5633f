"""The task of chemical perturbation: files, splits, metrics, models by name."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.chemical_perturbation import data as reading
from sclong_tasks.chemical_perturbation.config import ChemicalSettings
from sclong_tasks.chemical_perturbation.data import ChemicalData, Floats
from sclong_tasks.chemical_perturbation.figures import draw
from sclong_tasks.chemical_perturbation.inputs import read_conditions
from sclong_tasks.chemical_perturbation.metrics import measure
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.models import OF_CELLS, encoder_models
from sclong_tasks.splits import Split, check_no_leak, grouped_parts, make_split, shared_groups
from sclong_tasks.task import (
    DataFile,
    EncoderPlace,
    Metric,
    ModelSpec,
    ProtocolName,
    PublishedNumber,
    Rows,
    Task,
)

_LOG = logging.getLogger("sclong")
_DEEPCE = "https://raw.githubusercontent.com/pth1993/DeepCE/master/DeepCE/data"
_NONE = "none stated (DeepCE)"
_L1000 = "that of where it is from"
_FILES = {
    "train": "signature_train.csv",
    "validation": "signature_dev.csv",
    "test": "signature_test.csv",
    "profiles": "profiles.h5ad",
    "smiles": "drugs_smiles.csv",
    "gene_vectors": "gene_vector.csv",
    "about_profiles": "sig_info.txt",
    "about_genes": "gene_info.txt",
}
_MODELS = "sclong_tasks.chemical_perturbation.models"
_UNITS = {"cell_line": "cell line"}
"""What is held out, by scenario; compounds in all others."""
_HISTORY = "earlier version of the released plotting script (2024-11); the paper gives no values"


class ChemicalPerturbation(Task[ChemicalData]):
    """Changes of landmark genes by a compound at a dose in a cell line."""

    name: ClassVar = "chemical_perturbation"
    title: ClassVar = "chemical perturbation: changes of landmark genes by a compound (DeepCE)"
    encoders: ClassVar = (
        EncoderPlace(
            f"{_MODELS}.network:Network",
            classes={"sclong": f"{_MODELS}.network:ScLong"},
            # A gene's vector is the same in every cell: encoders of expression have no part in it.
            without=(*OF_CELLS, "sclong_no_gene_vectors"),
        ),
    )
    models: ClassVar = {
        **encoder_models(encoders[0]),
        "deepce": ModelSpec(f"{_MODELS}.network:DeepCe", summary="DeepCE, its own gene vectors"),
        "random_vectors": ModelSpec(
            f"{_MODELS}.network:RandomVectors", "floor", summary="gene vectors from N(0, 1)"
        ),
        "linear": ModelSpec(f"{_MODELS}.simple:Linear", "simple", summary="ridge regression"),
        "knn": ModelSpec(
            f"{_MODELS}.simple:Neighbours", "simple", summary="compounds that are most similar"
        ),
        "cell_dose_mean": ModelSpec(
            f"{_MODELS}.simple:CellDoseMean", "floor", summary="mean of the cell line at the dose"
        ),
        "cell_mean": ModelSpec(
            f"{_MODELS}.simple:CellMean", "floor", summary="mean of the cell line"
        ),
        "gene_mean": ModelSpec(f"{_MODELS}.simple:GeneMean", "floor", summary="mean of the gene"),
        "zero": ModelSpec(f"{_MODELS}.simple:Zero", "floor", summary="no change"),
    }
    baselines: ClassVar = ("linear", "knn", "cell_dose_mean")
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]] = {
        "honest": ("compound", "cell_line"),
        "published": ("files", "pert_id"),
    }
    data_files: ClassVar = (
        DataFile(_FILES["train"], "profiles to train on (L1000, Bayesian)", _NONE, required=False),
        DataFile(_FILES["validation"], "profiles to select by", _NONE, required=False),
        DataFile(_FILES["test"], "profiles to test on", _NONE, required=False),
        DataFile(
            _FILES["profiles"],
            "any L1000 profiles in place of these: GCT, GCTX or h5ad",
            _L1000,
            required=False,
            any_name=True,
        ),
        DataFile(
            _FILES["smiles"],
            "structures of compounds; not needed where the profiles hold them",
            _NONE,
            f"{_DEEPCE}/{_FILES['smiles']}",
            "b4bbc60702febdf4dfd648a198303e24e332e74a45d2f034bbffc7753551a005",
            required=False,
            aliases=("drug_smiles.csv", "ciger_drug_smiles.csv"),
        ),
        DataFile(
            _FILES["gene_vectors"],
            "DeepCE's own gene vectors (node2vec on STRING)",
            _NONE,
            f"{_DEEPCE}/{_FILES['gene_vectors']}",
            "bb7ff86856a93d70cfc15a32386d6d0072e2897c0327397cf8b6cc7a840e9505",
            required=False,
        ),
        DataFile(
            _FILES["about_profiles"],
            "metadata of profiles, for GCT and GCTX files without",
            _L1000,
            required=False,
            aliases=("inst_info.txt", "siginfo_beta.txt", "GSE92742_Broad_LINCS_sig_info.txt"),
        ),
        DataFile(
            _FILES["about_genes"],
            "symbols and landmarks, for GCTX files without",
            _L1000,
            required=False,
            aliases=("geneinfo_beta.txt", "GSE92742_Broad_LINCS_gene_info.txt"),
        ),
    )
    papers_rows: ClassVar = 3_965 + 544 + 496
    published: ClassVar = (
        PublishedNumber("sclong", "files", "pearson", 0.4536, _HISTORY, 0.0085),
        PublishedNumber("sclong", "files", "spearman", 0.4538, _HISTORY, 0.0082),
        PublishedNumber("sclong", "files", "pos_p_at_100", 0.2578, _HISTORY, 0.0080),
        PublishedNumber("sclong", "files", "neg_p_at_100", 0.2961, _HISTORY, 0.0087),
        PublishedNumber("Geneformer", "files", "pearson", 0.4499, _HISTORY, 0.0083),
        PublishedNumber("Geneformer", "files", "spearman", 0.4496, _HISTORY, 0.0085),
        PublishedNumber("Geneformer", "files", "pos_p_at_100", 0.2506, _HISTORY, 0.0315),
        PublishedNumber("Geneformer", "files", "neg_p_at_100", 0.2913, _HISTORY, 0.0209),
        PublishedNumber("deepce", "files", "pearson", 0.4423, _HISTORY, 0.0316),
        PublishedNumber("deepce", "files", "spearman", 0.4439, _HISTORY, 0.0309),
        PublishedNumber("deepce", "files", "pos_p_at_100", 0.2557, _HISTORY, 0.0266),
        PublishedNumber("deepce", "files", "neg_p_at_100", 0.2950, _HISTORY, 0.0200),
        PublishedNumber("gene2vec", "files", "pearson", 0.4379, _HISTORY),
        PublishedNumber("gene2vec", "files", "spearman", 0.4417, _HISTORY),
        PublishedNumber("gene2vec", "files", "pos_p_at_100", 0.2506, _HISTORY),
        PublishedNumber("gene2vec", "files", "neg_p_at_100", 0.2913, _HISTORY),
    )
    inputs: ClassVar[Mapping[str, str]] = {
        "conditions": "table with the columns cell_id, dose (or pert_idose), and pert_id or smiles"
    }
    Settings: ClassVar[type] = ChemicalSettings

    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """See :func:`sclong_tasks.chemical_perturbation.data.prepare`."""
        reading.prepare(sources, folder, _FILES)

    def load(self, folder: Path, settings: ChemicalSettings) -> ChemicalData:
        """See :func:`sclong_tasks.chemical_perturbation.data.load`."""
        return reading.load(folder, settings)

    def split(
        self, data: ChemicalData, *, scenario: str, seed: int, settings: ChemicalSettings
    ) -> Split:
        """Unseen compounds or cell lines; as published, the three files or whole pert_ids.

        Raises:
            InputError: a part would be empty, or what is held out is on both sides.
        """
        unit = _UNITS.get(scenario, "compound")
        if scenario == "files":
            parts = _of_files(data)
        else:
            fractions = {"test": settings.test_fraction, "validation": settings.validation_fraction}
            parts = grouped_parts(groups(data, scenario), fractions, seed)
        split = make_split(parts, name=scenario, seed=seed, unit=unit)
        check_no_leak(split, groups(data, scenario), unit)
        shared = shared_groups(split, data.compound.astype(str))
        if scenario in ("files", "pert_id") and shared:
            _LOG.warning(
                "%d compounds of the test rows are in the other rows under another pert_id, or as "
                "a salt or stereoisomer: %s (InChIKeys); rows without them are measured too",
                len(shared), shown(shared),
            )  # fmt: skip
        return split

    def evaluate(
        self,
        data: ChemicalData,
        predictions: pd.DataFrame,
        split: Split,
        settings: ChemicalSettings,
    ) -> list[Metric]:
        """See :func:`sclong_tasks.chemical_perturbation.metrics.measure`."""
        predicted = predictions[list(data.genes)].to_numpy(dtype=np.float64)
        found = self._measure(data, predicted, split, split.test, settings)
        new = ~np.isin(data.compound[split.test].astype(str), _seen(data, split))
        if split.name in ("files", "pert_id") and 0 < new.sum() < len(new):
            rows = split.test[new]
            for metric in self._measure(data, predicted[new], split, rows, settings):
                found.append(_in_stratum(metric, "new compounds"))
        return found

    def _measure(
        self,
        data: ChemicalData,
        predicted: Floats,
        split: Split,
        rows: Rows,
        settings: ChemicalSettings,
    ) -> list[Metric]:
        by_line = split.name == "cell_line"
        units = data.table["cell_id"].to_numpy() if by_line else data.compound.astype(str)
        return measure(
            data.values[rows].astype(np.float64),
            predicted,
            mean_g=data.mean_profile(split.train),
            units=units[rows],
            unit="cell line" if by_line else "compound",
            top=settings.top_genes,
            draws=settings.bootstrap,
        )

    def read_inputs(self, inputs: Mapping[str, Path], known: ChemicalData) -> ChemicalData:
        """See :func:`sclong_tasks.chemical_perturbation.inputs.read_conditions`."""
        return read_conditions(inputs, known)

    def figures(
        self, data: ChemicalData, predictions: pd.DataFrame, split: Split
    ) -> Mapping[str, Element]:
        """See :func:`sclong_tasks.chemical_perturbation.figures.draw`."""
        return draw(data, predictions, split)


def groups(data: ChemicalData, scenario: str) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    """What is never in two parts of a split, one value a row."""
    columns = {"cell_line": "cell_id", "files": "pert_id", "pert_id": "pert_id"}
    if scenario in columns:
        return np.array(data.table[columns[scenario]].tolist(), dtype=str)
    return data.compound.astype(str)


def _of_files(data: ChemicalData) -> dict[str, Rows]:
    parts = data.table["part"].to_numpy()
    if not (parts != "").all():
        raise InputError(
            "the split 'files' is that of DeepCE's signature_train.csv, signature_dev.csv and "
            "signature_test.csv, and these data are not from there: choose the split 'pert_id'"
        )
    return {name: np.flatnonzero(parts == name) for name in ("train", "validation", "test")}


def _seen(data: ChemicalData, split: Split) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    rows = np.concatenate([split.train, split.validation])
    return np.unique(data.compound[rows].astype(str))


def _in_stratum(metric: Metric, stratum: str) -> Metric:
    return Metric(
        metric.name, metric.value, metric.n, metric.higher_is_better, metric.unit,
        metric.low, metric.high, stratum,
    )  # fmt: skip
