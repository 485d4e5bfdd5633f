"""Data of genetic interactions: one row is a pair of genes, its targets measures of what it does.

Shapes: p pairs, g genes of the expression profiles.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.cache import digest_arrays, digest_of
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.genetic_interactions.config import InteractionSettings
from sclong_tasks.genetic_interactions.metrics import MEASURES
from sclong_tasks.genetic_interactions.profiles import Profiles, read_profiles
from sclong_tasks.genetic_interactions.reading import (
    read_classes,
    read_fitness,
    read_fits,
    read_pairs,
)
from sclong_tasks.genetic_perturbation import data as screens
from sclong_tasks.genetic_perturbation.conditions import (
    CONTROL,
    as_condition,
    genes_of,
    perturbation_of,
    read_condition_list,
)
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
Floats = npt.NDArray[np.float64]
FITS, CLASSES, FITNESS = (
    "norman_regr_fits_final.csv", "norman_gi_classes.csv", "norman_processed_fitnesses.csv",
)  # fmt: skip
CONDITIONS, SCREEN = "norman_conditions.txt", "perturb_processed.h5ad"
_FITS, _CLASSES, _FITNESS = "fits.parquet", "classes.json", "fitness.parquet"
_CONDITIONS, _SCREEN = "conditions.json", "screen"


@dataclass(frozen=True, eq=False)
class InteractionData:
    """Validated pairs."""

    pairs: tuple[str, ...]
    """``p`` names: both genes, sorted."""
    measures: Floats
    """``(p, measures)`` in the order of ``MEASURES``; NaN where hidden."""
    classes: npt.NDArray[np.str_]
    """``(p,)`` class by Norman et al.; empty where it has none, or is hidden."""
    conditions: tuple[str, ...]
    """All conditions of the screen, which the split divides."""
    settings: InteractionSettings
    fitness: pd.DataFrame | None = None
    """Of cells, by both genes; never hidden, because it is another experiment."""
    profiles: Profiles | None = None
    """Expression; that of pairs is NaN where they are hidden."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over pairs, measures, classes, conditions, fitness and expression."""
        names = [list(self.pairs), self.classes.tolist(), list(self.conditions)]
        parts = [names, digest_arrays(self.measures)]
        if self.fitness is not None:
            parts.append([list(self.fitness.index), digest_arrays(self.fitness.to_numpy())])
        if self.profiles is not None:
            parts.append(self.profiles.digest)
        return digest_of(parts)

    @cached_property
    def genes(self) -> tuple[tuple[str, str], ...]:
        """Both genes of each pair."""
        found = (genes_of(name) for name in self.pairs)
        return tuple((first, second) for first, second in found)

    @property
    def labels(self) -> pd.DataFrame:
        """Names of pairs and genes."""
        table = pd.DataFrame(self.genes, columns=["first", "second"])
        table.insert(0, "perturbation", list(self.pairs))
        return table

    @property
    def truth(self) -> pd.DataFrame:
        """One column a measure."""
        return pd.DataFrame(self.measures, columns=list(MEASURES))

    def hide(self, rows: Rows) -> Self:
        """The same without measures, classes and expression of these pairs."""
        measures, classes = self.measures.copy(), self.classes.copy()
        measures[rows], classes[rows] = np.nan, ""
        profiles = None if self.profiles is None else self.profiles.hide(rows)
        return replace(self, measures=measures, classes=classes, profiles=profiles)


def prepare(sources: Mapping[str, Path], folder: Path) -> None:
    """Convert what there is of published measures and screen.

    Raises:
        InputError: there is neither, or a file is not what its authors publish.
    """
    if FITS not in sources and SCREEN not in sources:
        raise InputError(f"genetic interactions need {FITS} or {SCREEN}: give one with --source")
    if FITS in sources:
        read_fits(sources[FITS]).to_parquet(folder / _FITS)
    if CLASSES in sources:
        write_json(folder / _CLASSES, read_classes(sources[CLASSES]))
    if FITNESS in sources:
        read_fitness(sources[FITNESS]).to_parquet(folder / _FITNESS)
    if CONDITIONS in sources:
        write_json(folder / _CONDITIONS, sorted(read_condition_list(sources[CONDITIONS])))
    if SCREEN in sources:
        (folder / _SCREEN).mkdir()
        screens.prepare(sources[SCREEN], folder / _SCREEN)


def load(folder: Path, settings: InteractionSettings) -> InteractionData:
    """Read what :func:`prepare` wrote; what is left out is named and counted.

    Raises:
        InputError: the source that the settings name is not there, or no pair is left.
    """
    profiles, conditions = None, _conditions(folder)
    if _from_screen(folder, settings):
        pairs, profiles, measured = read_profiles(folder / _SCREEN, settings)
        measures = profiles.measures(settings.fit)
        conditions = measured
    else:
        fits = pd.read_parquet(folder / _FITS)
        pairs, measures = tuple(fits.index), published_measures(fits, settings.fit.method)
        _LOG.info(
            "measures are those of Norman et al.: least squares or Theil-Sen without intercept, "
            "over all genes of mean above 0.5"
        )
    classes = _json(folder / _CLASSES) if (folder / _CLASSES).is_file() else {}
    fitness = pd.read_parquet(folder / _FITNESS) if (folder / _FITNESS).is_file() else None
    if not conditions:
        singles = sorted({gene for name in pairs for gene in genes_of(name)})
        conditions = (*(f"{gene}+{CONTROL}" for gene in singles), *pairs)
        _LOG.info("without %s, conditions are those of the pairs and of their genes", CONDITIONS)
    data = InteractionData(
        pairs=pairs,
        measures=measures,
        classes=np.array([classes.get(name, "") for name in pairs], dtype=str),
        conditions=_spelt(conditions, merged=settings.merge_spellings),
        settings=settings,
        fitness=fitness,
        profiles=profiles,
    )
    data = _only(data, settings)
    _report(data, classes)
    return data


def published_measures(fits: pd.DataFrame, method: str) -> Floats:
    """Measures from Norman's table, in the order of ``MEASURES``."""
    kind = "ts_coef" if method == "theil_sen" else "coef"
    first, second = (fits[f"{kind}_{place}"].to_numpy() for place in ("first", "second"))
    each = fits[["dcor_first", "dcor_second"]].to_numpy()
    found = {
        "magnitude": np.hypot(first, second),
        "model_fit": fits["corr_fit"].to_numpy(),
        "similarity": fits["dcor"].to_numpy(),
        "similarity_singles": fits["dcor_singles"].to_numpy(),
        "equal_contribution": each.min(1) / each.max(1),
        "dominance": np.abs(np.log10(np.abs(first) / np.abs(second))),
    }
    return np.column_stack([found[name] for name in MEASURES])


def new_pairs(path: Path, known: InteractionData) -> InteractionData:
    """Pairs to predict: a table with a column ``perturbation``, "A+B"."""
    pairs = tuple(read_pairs(path, strict=True))
    profiles = None if known.profiles is None else known.profiles.for_pairs(pairs)
    return replace(
        known,
        pairs=pairs,
        measures=np.full((len(pairs), len(MEASURES)), np.nan),
        classes=np.full(len(pairs), "", dtype=known.classes.dtype),
        profiles=profiles,
    )


def take(data: InteractionData, rows: Rows) -> InteractionData:
    """Some of the pairs."""
    return replace(
        data,
        pairs=tuple(data.pairs[row] for row in rows),
        measures=data.measures[rows],
        classes=data.classes[rows],
        profiles=None if data.profiles is None else data.profiles.take(rows),
    )


def _from_screen(folder: Path, settings: InteractionSettings) -> bool:
    there = {"profiles": (folder / _SCREEN).is_dir(), "published": (folder / _FITS).is_file()}
    if settings.source == "auto":
        return there["profiles"]
    if not there[settings.source]:
        name = SCREEN if settings.source == "profiles" else FITS
        raise InputError(f"{folder} was prepared without {name}: task.source={settings.source}")
    return settings.source == "profiles"


def _conditions(folder: Path) -> tuple[str, ...]:
    path = folder / _CONDITIONS
    return tuple(str(name) for name in _json(path)) if path.is_file() else ()


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _spelt(conditions: tuple[str, ...], *, merged: bool) -> tuple[str, ...]:
    """As genetic perturbation has them, so that its split is the same."""
    names = (name for name in conditions if name != CONTROL)
    return tuple(sorted({as_condition(perturbation_of(n)) if merged else n for n in names}))


def _only(data: InteractionData, settings: InteractionSettings) -> InteractionData:
    if not settings.only:
        return data
    wanted = set(read_pairs(Path(settings.only), strict=False))
    rows = np.array([row for row, name in enumerate(data.pairs) if name in wanted], dtype=np.int64)
    absent = sorted(wanted - set(data.pairs))
    if absent:
        _LOG.info("%d pairs of %s have no measures: %s", len(absent), settings.only, shown(absent))
    if not len(rows):
        raise InputError(f"none of the {len(wanted)} pairs of {settings.only} has measures")
    return take(data, rows)


def _report(data: InteractionData, classes: Mapping[str, str]) -> None:
    genes = {gene for pair in data.genes for gene in pair}
    absent = sorted(set(classes) - set(data.pairs))
    _LOG.info(
        "%d pairs of %d genes, %d of them with a class; %d pairs with a class have no measures%s",
        len(data.pairs), len(genes), int((data.classes != "").sum()), len(absent),
        f" ({shown(absent)})" if absent else "",
    )  # fmt: skip
