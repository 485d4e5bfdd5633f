"""Splits of drug combinations: another laboratory's screen; by drug pair, drug, cell line."""

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.drug_combination.config import CombinationSettings
from sclong_tasks.drug_combination.data import TEST_SCREEN, TRAINING_SCREEN, CombinationData
from sclong_tasks.splits import Split, check_no_leak, grouped_parts, make_split, random_parts
from sclong_tasks.task import Rows

Parts = dict[str, npt.NDArray[np.int64]]


def make_combination_split(
    data: CombinationData, *, scenario: str, seed: int, settings: CombinationSettings
) -> Split:
    """The split of a scenario, checked for leaks.

    - ``independent``: trains on one screen, tests on that of another laboratory. Cell lines are
      never shared; a few compounds are, which is why metrics have a stratum without them.
    - ``pair``: no pair of compounds is on both sides.
    - ``drug``: test rows hold a compound that no training or validation row holds.
    - ``cell_line``: no cell line is on both sides.
    - ``random``: rows at random, as in the original's own cross-validation.

    Raises:
        InputError: a part would be empty, or the split leaks.
        ConfigError: there is no such scenario.
    """
    makers = {
        "independent": _independent,
        "pair": _by_group,
        "cell_line": _by_group,
        "drug": _by_drug,
        "random": _at_random,
    }
    if scenario not in makers:
        raise ConfigError(f"there is no split {scenario!r}: choose one of {', '.join(makers)}")
    unit, parts = makers[scenario](data, scenario, seed, settings)
    optional = "validation" if not settings.validation_fraction else ""
    split = make_split(parts, name=scenario, seed=seed, unit=unit, may_be_empty=optional)
    groups = {"pair": data.pairs, "cell_line": data.cell_lines, "independent": data.cell_lines}
    if scenario in groups:
        check_no_leak(split, groups[scenario], unit)
    return split


def _fractions(settings: CombinationSettings, *, test: bool) -> dict[str, float]:
    fractions = {"test": settings.test_fraction} if test else {}
    if settings.validation_fraction:
        fractions["validation"] = settings.validation_fraction
    return fractions


def _independent(
    data: CombinationData, scenario: str, seed: int, settings: CombinationSettings
) -> tuple[str, Parts]:
    """Validation rows are drawn by drug pair, because test pairs are new."""
    del scenario
    rows, test = data.rows_of(TRAINING_SCREEN), data.rows_of(TEST_SCREEN)
    if not len(test):
        raise InputError(
            "the split 'independent' needs the screen of another laboratory: give its files "
            "(independent_input.csv and expression of its cell lines), or choose another split"
        )
    parts: Parts = {"train": rows}
    if settings.validation_fraction:
        drawn = grouped_parts(data.pairs[rows], _fractions(settings, test=False), seed)
        parts = {part: rows[places] for part, places in drawn.items()}
    return "cell line", {**parts, "test": test}


def _by_group(
    data: CombinationData, scenario: str, seed: int, settings: CombinationSettings
) -> tuple[str, Parts]:
    rows = data.rows_of(TRAINING_SCREEN)
    groups = data.pairs if scenario == "pair" else data.cell_lines
    drawn = grouped_parts(groups[rows], _fractions(settings, test=True), seed)
    unit = "drug pair" if scenario == "pair" else "cell line"
    return unit, {part: rows[places] for part, places in drawn.items()}


def _by_drug(
    data: CombinationData, scenario: str, seed: int, settings: CombinationSettings
) -> tuple[str, Parts]:
    """Compounds are drawn one after the other until the rows that hold one make up the fraction."""
    del scenario
    rows = data.rows_of(TRAINING_SCREEN)
    compounds = np.unique(data.compounds[rows])
    order = list(np.random.default_rng(seed).permutation(compounds))
    free = np.ones(len(rows), dtype=bool)
    parts: Parts = {}
    for part, fraction in _fractions(settings, test=True).items():
        chosen = np.zeros(len(rows), dtype=bool)
        while order and chosen.sum() < fraction * len(rows):
            compound = order.pop()
            chosen |= free & (data.compounds[rows] == compound).any(axis=1)
        parts[part] = rows[chosen]
        free &= ~chosen
    split = {**parts, "train": rows[free]}
    _check_new_compounds(data, split)
    return "drug", split


def _check_new_compounds(data: CombinationData, parts: Parts) -> None:
    outside = np.concatenate([rows for part, rows in parts.items() if part != "test"])
    seen = np.unique(data.compounds[outside])
    known = np.isin(data.compounds[parts["test"]], seen).all(axis=1)
    if known.any():
        raise InputError(f"the split 'drug' leaks: {int(known.sum())} test rows hold no new drug")


def _at_random(
    data: CombinationData, scenario: str, seed: int, settings: CombinationSettings
) -> tuple[str, Parts]:
    del scenario
    rows: Rows = data.rows_of(TRAINING_SCREEN)
    fractions = _fractions(settings, test=True)
    sizes = {part: int(fraction * len(rows)) for part, fraction in fractions.items()}
    return "row", random_parts(rows, sizes, seed)


def new_compounds(data: CombinationData, split: Split) -> npt.NDArray[np.bool_]:
    """Which test rows hold no compound of the training and validation rows."""
    seen = np.unique(data.compounds[np.concatenate([split.train, split.validation])])
    known = np.asarray(np.isin(data.compounds[split.test], seen).any(axis=1))
    return ~known
