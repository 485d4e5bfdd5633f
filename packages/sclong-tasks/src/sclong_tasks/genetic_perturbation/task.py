"""The task of genetic perturbation: files, split, metrics, models by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_tasks.figures import predicted_and_true
from sclong_tasks.genetic_perturbation import data as screens
from sclong_tasks.genetic_perturbation.config import GeneticPerturbationSettings
from sclong_tasks.genetic_perturbation.data import PerturbationData
from sclong_tasks.genetic_perturbation.evaluation import measure
from sclong_tasks.genetic_perturbation.published import published_numbers
from sclong_tasks.genetic_perturbation.splits import SUBGROUPS, Simulation, simulation
from sclong_tasks.models import encoder_models
from sclong_tasks.splits import Split, make_split
from sclong_tasks.task import DataFile, EncoderPlace, Metric, ModelSpec, ProtocolName, Task

_MODELS = "sclong_tasks.genetic_perturbation.models"
_SCREEN, _ANNOTATIONS = "perturb_processed.h5ad", "goa_human.gaf"
_PAPERS_GENES = 5_045


class GeneticPerturbation(Task[PerturbationData]):
    """Mean expression of cells in which one gene or two are perturbed."""

    name: ClassVar = "genetic_perturbation"
    title: ClassVar = "genetic perturbation: mean expression of perturbed cells (GEARS)"
    encoders: ClassVar = (EncoderPlace(f"{_MODELS}.network:Encoded"),)
    models: ClassVar = {
        **encoder_models(encoders[0]),
        "gears": ModelSpec(f"{_MODELS}.network:Gears", summary="GEARS"),
        "gears_wide": ModelSpec(
            f"{_MODELS}.network:WideGears", summary="GEARS, as wide as the head of scLong"
        ),
        "expression": ModelSpec(
            f"{_MODELS}.network:Encoded",
            options={"encoder": {"name": "raw"}},
            summary="the same head on the expression of each gene",
        ),
        "additive": ModelSpec(
            f"{_MODELS}.simple:Additive", "simple", summary="effects of two genes that add up"
        ),
        "linear": ModelSpec(f"{_MODELS}.simple:Linear", "simple", summary="a bilinear model"),
        "matching_mean": ModelSpec(
            f"{_MODELS}.simple:MatchingMean", "floor", summary="mean of conditions with these genes"
        ),
        "perturbed_mean": ModelSpec(
            f"{_MODELS}.simple:PerturbedMean", "floor", summary="mean of perturbed conditions"
        ),
        "training_mean": ModelSpec(
            f"{_MODELS}.simple:TrainingMean", "floor", summary="mean of training cells"
        ),
        "no_change": ModelSpec(f"{_MODELS}.simple:NoChange", "floor", summary="the control mean"),
    }
    # Linear models come first: Nat Methods 2025, 10.1038/s41592-025-02772-6.
    baselines: ClassVar = ("linear", "additive", "perturbed_mean", "training_mean")
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]] = {
        "honest": ("simulation",),
        "published": ("simulation",),
    }
    data_files: ClassVar = (
        DataFile(
            _SCREEN,
            "cells of a perturbation screen: GEARS's file, or counts with a target for each cell",
            "CC0 (Harvard Dataverse); MIT (sceptredata)",
            "https://dataverse.harvard.edu/api/access/datafile/6154020",
            aliases=("papalexi_lowmoi_subset.h5ad",),
        ),
        DataFile(
            _ANNOTATIONS,
            "annotations that join genes which were never perturbed to those that were",
            "CC BY 4.0 (Gene Ontology)",
            "https://release.geneontology.org/2025-06-01/annotations/goa_human.gaf.gz",
            required=False,
            aliases=("human_ensembl_gene2go_direct.csv", "gene2go", "gene2go.csv"),
        ),
    )
    published: ClassVar = published_numbers()
    inputs: ClassVar = {"perturbations": 'table with a column perturbation: "A", "A+ctrl" or "A+B"'}
    Settings: ClassVar = GeneticPerturbationSettings

    def is_papers(self, data: PerturbationData) -> bool:
        """By the genes of Norman's screen as GEARS publishes it."""
        return len(data.genes) == _PAPERS_GENES

    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """Convert a screen; see :mod:`sclong_tasks.genetic_perturbation.reading`."""
        screens.prepare(sources[_SCREEN], folder, sources.get(_ANNOTATIONS))

    def load(self, folder: Path, settings: GeneticPerturbationSettings) -> PerturbationData:
        """Read prepared conditions."""
        return screens.load(folder, settings)

    def split(
        self,
        data: PerturbationData,
        *,
        scenario: str,
        seed: int,
        settings: GeneticPerturbationSettings,
    ) -> Split:
        """GEARS's ``simulation``; all conditions with a held-out gene are test conditions."""
        chosen = seed if settings.split_seed < 0 else settings.split_seed
        found = _simulation(data, chosen, settings)
        place = {name: row for row, name in enumerate(data.table["condition"])}
        names = {
            "train": found.train,
            "validation": found.validation.held,
            "test": found.test.held,
        }
        parts = {part: [place[name] for name in here] for part, here in names.items()}
        return make_split(
            parts, name=scenario, seed=chosen, unit="perturbation", may_be_empty="validation"
        )

    def evaluate(
        self,
        data: PerturbationData,
        predictions: pd.DataFrame,
        split: Split,
        settings: GeneticPerturbationSettings,
    ) -> list[Metric]:
        """See :func:`sclong_tasks.genetic_perturbation.evaluation.measure`."""
        strata = _strata(data, split, settings)
        return measure(data, predictions, split, strata, settings)

    def read_inputs(self, inputs: Mapping[str, Path], known: PerturbationData) -> PerturbationData:
        """See :func:`sclong_tasks.genetic_perturbation.data.read_perturbations`."""
        return screens.read_perturbations(inputs, known)

    def figures(
        self, data: PerturbationData, predictions: pd.DataFrame, split: Split
    ) -> Mapping[str, Element]:
        """Predicted over true change against control, over conditions and genes."""
        true = data.means[split.test] - data.control_mean
        predicted = predictions.to_numpy(dtype=np.float64) - data.control_mean
        return {
            "predicted": predicted_and_true(
                true.ravel().tolist(), predicted.ravel().tolist(), name="change", seed=split.seed
            )
        }


def _simulation(
    data: PerturbationData, seed: int, settings: GeneticPerturbationSettings
) -> Simulation:
    return simulation(
        list(data.table["condition"]),
        seed=seed,
        share=settings.train_share,
        validation_share=settings.validation_share,
    )


def _strata(
    data: PerturbationData, split: Split, settings: GeneticPerturbationSettings
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which test conditions are in each of the paper's four scenarios."""
    groups = _simulation(data, split.seed, settings).test.groups
    names = data.table["condition"].to_numpy()[split.test]
    found = {SUBGROUPS[key]: np.isin(names, here) for key, here in groups.items()}
    return {stratum: chosen for stratum, chosen in found.items() if chosen.any()}
