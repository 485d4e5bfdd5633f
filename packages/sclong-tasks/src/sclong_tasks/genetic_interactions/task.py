"""The task of genetic interactions: files, split, metrics, models by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_tasks.figures import predicted_and_true
from sclong_tasks.genetic_interactions import data as pairs
from sclong_tasks.genetic_interactions.config import InteractionSettings
from sclong_tasks.genetic_interactions.data import InteractionData
from sclong_tasks.genetic_interactions.evaluation import measure
from sclong_tasks.genetic_perturbation.conditions import perturbation_of
from sclong_tasks.genetic_perturbation.splits import SUBGROUPS, Simulation, simulation
from sclong_tasks.models import OF_CELLS, encoder_models
from sclong_tasks.splits import Split, make_split
from sclong_tasks.task import DataFile, EncoderPlace, Metric, ModelSpec, ProtocolName, Task

_MODELS = "sclong_tasks.genetic_interactions.models"
_NORMAN = "LGPL-3 (Perturbseq_GI)"
ALL = "all_pairs"


class GeneticInteractions(Task[InteractionData]):
    """Measures of how the effect of a pair differs from those of its genes."""

    name: ClassVar = "genetic_interactions"
    title: ClassVar = "genetic interactions: synergy, suppression and other classes (Norman, GEARS)"
    encoders: ClassVar = (
        EncoderPlace(f"{_MODELS}:VectorsOfGenes", without=(*OF_CELLS, "sclong_no_gene_vectors")),
    )
    models: ClassVar = {
        **encoder_models(encoders[0]),
        "predictions": ModelSpec(
            f"{_MODELS}:Predictions", summary="expression that other runs predicted"
        ),
        "additive": ModelSpec(
            f"{_MODELS}:Additive", "simple", summary="effects of two genes that add up"
        ),
        "no_change": ModelSpec(f"{_MODELS}:NoChange", "floor", summary="no effect"),
        "gene_effects": ModelSpec(
            f"{_MODELS}:GeneEffects", "simple", summary="ridge regression on genes"
        ),
        "fitness_additive": ModelSpec(
            f"{_MODELS}:FitnessOfGenes", "simple", summary="from the fitness of the genes"
        ),
        "fitness_pair": ModelSpec(
            f"{_MODELS}:FitnessOfPair", "simple", summary="from the fitness of the pair too"
        ),
        "random": ModelSpec(f"{_MODELS}:Random", "floor", summary="random numbers"),
    }
    baselines: ClassVar = ("additive", "gene_effects")
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]] = {
        "honest": ("simulation", ALL),
        "published": ("simulation", ALL),
    }
    data_files: ClassVar = (
        DataFile(
            pairs.SCREEN,
            "measures from expression: the screen of genetic perturbation",
            "CC0 (Harvard Dataverse)",
            "https://dataverse.harvard.edu/api/access/datafile/6154020",
            required=False,
        ),
        DataFile(
            pairs.FITS,
            "measures as Norman et al. publish them",
            _NORMAN,
            required=False,
            aliases=("regr_fits_final.csv",),
        ),
        DataFile(pairs.CLASSES, "classes of 88 pairs", "MIT (GEARS_misc)", required=False),
        DataFile(
            pairs.FITNESS,
            "fitness of genes and pairs, for models that need no expression",
            _NORMAN,
            required=False,
            aliases=("processed_fitnesses.csv",),
        ),
        DataFile(
            pairs.CONDITIONS,
            "all conditions of the screen, for its split where it is missing itself",
            "none stated",
            required=False,
        ),
    )
    inputs: ClassVar = {"pairs": 'table with a column perturbation: "A+B"'}
    Settings: ClassVar = InteractionSettings

    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """See :func:`sclong_tasks.genetic_interactions.data.prepare`."""
        pairs.prepare(sources, folder)

    def load(self, folder: Path, settings: InteractionSettings) -> InteractionData:
        """See :func:`sclong_tasks.genetic_interactions.data.load`."""
        return pairs.load(folder, settings)

    def split(
        self, data: InteractionData, *, scenario: str, seed: int, settings: InteractionSettings
    ) -> Split:
        """The pairs of genetic perturbation's split; or all of them as test rows."""
        if scenario == ALL:
            rows = np.arange(len(data.pairs))
            return make_split(
                {"test": rows}, name=ALL, seed=seed, unit="pair", may_be_empty="train validation"
            )
        chosen = seed if settings.split_seed < 0 else settings.split_seed
        found = _simulation(data, chosen, settings)
        names = {
            "train": found.train,
            "validation": found.validation.held,
            "test": found.test.held,
        }
        place = {name: row for row, name in enumerate(data.pairs)}
        parts = {
            part: sorted({place[one] for one in map(perturbation_of, here) if one in place})
            for part, here in names.items()
        }
        return make_split(
            parts, name=scenario, seed=chosen, unit="pair", may_be_empty="train validation"
        )

    def evaluate(
        self,
        data: InteractionData,
        predictions: pd.DataFrame,
        split: Split,
        settings: InteractionSettings,
    ) -> list[Metric]:
        """See :func:`sclong_tasks.genetic_interactions.evaluation.measure`."""
        strata = {} if split.name == ALL else _strata(data, split, settings)
        return measure(data, predictions, split, strata, settings)

    def read_inputs(self, inputs: Mapping[str, Path], known: InteractionData) -> InteractionData:
        """See :func:`sclong_tasks.genetic_interactions.data.new_pairs`."""
        return pairs.new_pairs(inputs["pairs"], known)

    def figures(
        self, data: InteractionData, predictions: pd.DataFrame, split: Split
    ) -> Mapping[str, Element]:
        """Predicted over true magnitude, one point a pair."""
        if "magnitude" not in predictions:
            return {}
        true = data.truth["magnitude"].to_numpy()[split.test].tolist()
        predicted = predictions["magnitude"].to_numpy(dtype=np.float64).tolist()
        return {"predicted": predicted_and_true(true, predicted, name="magnitude")}


def _simulation(data: InteractionData, seed: int, settings: InteractionSettings) -> Simulation:
    return simulation(
        data.conditions,
        seed=seed,
        share=settings.train_share,
        validation_share=settings.validation_share,
    )


def _strata(
    data: InteractionData, split: Split, settings: InteractionSettings
) -> dict[str, npt.NDArray[np.bool_]]:
    groups = _simulation(data, split.seed, settings).test.groups
    names = np.array(data.pairs)[split.test]
    found = {
        SUBGROUPS[key]: np.isin(names, [perturbation_of(name) for name in here])
        for key, here in groups.items()
    }
    return {stratum: chosen for stratum, chosen in found.items() if chosen.any()}
