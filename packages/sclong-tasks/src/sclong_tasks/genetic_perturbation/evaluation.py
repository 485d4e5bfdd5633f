"""Metrics of test conditions, in all and by how many of their genes were seen in training.

Shapes: p test conditions, g genes, k ranked genes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_tasks.genetic_perturbation import metrics as measures
from sclong_tasks.genetic_perturbation.config import GeneticPerturbationSettings
from sclong_tasks.genetic_perturbation.data import PerturbationData, mean_of
from sclong_tasks.genetic_perturbation.ranking import Moments, rank_genes, without_dropouts
from sclong_tasks.metrics.intervals import bootstrap_interval
from sclong_tasks.splits import Split
from sclong_tasks.task import Metric

Floats = npt.NDArray[np.float64]
Genes = npt.NDArray[np.int64]
LOWER = ("mse", "wrong")
"""How names of metrics begin that are better the lower they are."""


@dataclass(frozen=True, eq=False)
class Sets:
    """Genes that metrics of one condition rest on."""

    de_k: Genes
    """Ranked highest."""
    kept_k: Genes
    """Ranked highest among those that do not drop out: behind the paper's figure."""
    nonzero_k: Genes
    """Not zero in the condition's mean."""


def measure(
    data: PerturbationData,
    predictions: pd.DataFrame,
    split: Split,
    strata: Mapping[str, npt.NDArray[np.bool_]],
    settings: GeneticPerturbationSettings,
) -> list[Metric]:
    """All metrics, each the mean over the conditions in which it is defined.

    Args:
        data: with the truth.
        predictions: one line a test condition, one column a gene.
        split: whose training rows give the mean perturbed cell.
        strata: test conditions by name of their group.
        settings: of the task.
    """
    predicted_pg = predictions.to_numpy(dtype=np.float64)
    values = _values(data, predicted_pg, split, settings)
    every = {"all": np.ones(len(split.test), dtype=bool), **strata}
    units = data.table["perturbation"].to_numpy()[split.test]
    found = []
    for name, values_p in values.items():
        for stratum, chosen_p in every.items():
            here = np.flatnonzero(chosen_p & np.isfinite(values_p))
            if chosen_p.any():
                found.append(_metric(name, stratum, values_p[here], units[here], settings))
    return found


def _metric(
    name: str,
    stratum: str,
    values: Floats,
    units: npt.NDArray[np.object_],
    settings: GeneticPerturbationSettings,
) -> Metric:
    low, high = (
        bootstrap_interval(lambda rows: float(values[rows].mean()), units, draws=settings.bootstrap)
        if len(values)
        else (None, None)
    )
    value = float(values.mean()) if len(values) else float("nan")
    better = not name.removeprefix("ceiling_").startswith(LOWER)
    return Metric(name, value, len(values), better, "perturbation", low, high, stratum)


def _values(
    data: PerturbationData,
    predicted_pg: Floats,
    split: Split,
    settings: GeneticPerturbationSettings,
) -> dict[str, Floats]:
    """``(p,)`` each metric of each test condition."""
    truth_pg, control_g = data.means[split.test], data.control_mean
    perturbed_g = data.means[split.train].mean(axis=0)
    control = Moments.of(data.control)
    lines = []
    for place, row in enumerate(split.test):
        sets = _sets(data, int(row), control, settings.top)
        line = _of_condition(
            truth_pg[place], predicted_pg[place], control_g, perturbed_g, sets, settings
        )
        line |= _ceiling(data, int(row), sets, split.seed, settings)
        if settings.printed:
            line |= _printed(data, int(row), predicted_pg[place], split.seed, settings.top)
        lines.append(line)
    found = {name: np.array([line[name] for line in lines]) for name in lines[0]}
    found["centroid_accuracy"] = measures.centroid_accuracy(truth_pg, predicted_pg)
    return found


def _sets(data: PerturbationData, row: int, control: Moments, top: int) -> Sets:
    if data.ranking is None:
        ranking = rank_genes(Moments.of(data.cells_of(row)), control)
    else:
        ranking = data.ranking[row].astype(np.int64)
    mean_g = data.means[row]
    return Sets(
        ranking[:top],
        without_dropouts(ranking, mean_g, data.control_mean)[:top],
        np.flatnonzero(mean_g),
    )


def _of_condition(
    truth_g: Floats,
    predicted_g: Floats,
    control_g: Floats,
    perturbed_g: Floats,
    sets: Sets,
    settings: GeneticPerturbationSettings,
) -> dict[str, float]:
    every = np.arange(len(truth_g))

    def change(reference_g: Floats, genes_k: Genes) -> float:
        return measures.pearson_of_change(
            truth_g, predicted_g, reference_g, genes_k, lenient=settings.undefined_is_zero
        )

    def error(genes_k: Genes) -> float:
        return measures.mean_squared_error(truth_g, predicted_g, genes_k)

    def wrong(genes_k: Genes) -> float:
        return measures.wrong_directions(truth_g, predicted_g, control_g, genes_k)

    return {
        "pearson_delta_de_non_dropout": change(control_g, sets.kept_k),
        "mse_de_non_dropout": error(sets.kept_k),
        "pearson_delta_de": change(control_g, sets.de_k),
        "mse_de": error(sets.de_k),
        "pearson_delta": change(control_g, every),
        "mse": error(every),
        "pearson_against_perturbed": change(perturbed_g, every),
        "pearson_against_perturbed_de": change(perturbed_g, sets.de_k),
        "wrong_directions_de_non_dropout": wrong(sets.kept_k),
        "wrong_directions_non_zero": wrong(sets.nonzero_k),
    }


def _ceiling(
    data: PerturbationData,
    row: int,
    sets: Sets,
    seed: int,
    settings: GeneticPerturbationSettings,
) -> dict[str, float]:
    """Half of the condition's cells as the prediction of the other half: a technical duplicate."""
    cells = data.cells_of(row)
    order = np.random.default_rng([seed, row]).permutation(cells.shape[0])
    half = len(order) // 2
    if not half:
        return dict.fromkeys(("ceiling_pearson_delta_de_non_dropout", "ceiling_mse_de"), np.nan)
    one_g, other_g = mean_of(cells[order[:half]]), mean_of(cells[order[half:]])
    return {
        "ceiling_pearson_delta_de_non_dropout": measures.pearson_of_change(
            one_g, other_g, data.control_mean, sets.kept_k, lenient=settings.undefined_is_zero
        ),
        "ceiling_mse_de": measures.mean_squared_error(one_g, other_g, sets.de_k),
    }


def _printed(
    data: PerturbationData, row: int, predicted_g: Floats, seed: int, top: int
) -> dict[str, float]:
    """As the Methods print it: each cell is its control cell plus the predicted change."""
    truth_cg = data.cells_of(row).toarray().astype(np.float64)
    drawn = np.random.default_rng([seed, row]).integers(data.control.shape[0], size=len(truth_cg))
    paired_cg = data.control[drawn].toarray().astype(np.float64)
    predicted_cg = paired_cg + (predicted_g - data.control_mean)
    genes_k = measures.most_variable(truth_cg, top)
    return {
        "pearson_printed": measures.printed_pearson(truth_cg, predicted_cg, paired_cg, genes_k),
        "mse_printed": measures.printed_mse(truth_cg, predicted_cg, genes_k),
    }
