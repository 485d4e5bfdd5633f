"""Correction for many tests, over families that are declared before and written under the table."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sclong_bench.results.schema import SETTING
from sclong_bench.statistics.sample import Floats
from sclong_core.errors import ConfigError

Correction = Literal["bh", "by"]
CORRECTIONS: tuple[Correction, ...] = get_args(Correction)
"""Benjamini-Hochberg, and Benjamini-Yekutieli for any dependence."""


def adjust(p_values: npt.ArrayLike, correction: str = "bh") -> Floats:
    """p-values adjusted for the false discovery rate of one family.

    A test that could not be made (NaN) keeps its place in the family, as if it had p = 1: a failed
    run never makes the other results look better. Its own answer stays NaN.

    Args:
        p_values: of the whole family.
        correction: one of :data:`CORRECTIONS`.

    Raises:
        ConfigError: no such correction.
    """
    if correction not in CORRECTIONS:
        raise ConfigError(
            f"there is no correction {correction!r}: choose one of {', '.join(CORRECTIONS)}"
        )
    values = np.asarray(p_values, dtype=np.float64)
    if not len(values):
        return values
    undefined = np.isnan(values)
    found: Floats = stats.false_discovery_control(
        np.where(undefined, 1.0, values), method=correction
    )
    found[undefined] = np.nan
    return found


PAPER = "paper"
"""The family that the paper's supplementary tables suggest; it does not define one itself."""
COLUMNS = (*SETTING, "model")
"""Columns by which results can be divided into families."""

_PAPER_TABLES = {
    "genetic_perturbation": "Supplementary Table 11",
    "chemical_perturbation": "Supplementary Table 12",
    "drug_response": "Supplementary Table 13",
    "drug_combination": "Supplementary Table 13",
    "grn": "Supplementary Table 14",
}


def families(comparisons: pd.DataFrame, family: str | Sequence[str]) -> pd.Series:
    """The name of the family of each comparison.

    Args:
        comparisons: with the columns of a setting, and "model".
        family: columns; comparisons that agree in all of them are one family, so that none at all
            makes a single one. "paper" takes the tests of one supplementary table together.

    Raises:
        ConfigError: a column that families cannot be made by.
    """
    if family == PAPER:
        return comparisons["task"].map(lambda task: _PAPER_TABLES.get(task, f"task {task}"))
    columns = [family] if isinstance(family, str) else list(family)
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise ConfigError(
            f"families cannot be made by {unknown[0]!r}: choose among {', '.join(COLUMNS)}, or "
            f"{PAPER!r}"
        )
    if not columns:
        return pd.Series("all comparisons", index=comparisons.index)
    names = [
        ", ".join(f"{name} {row[name]}" for name in columns if row[name]) or "all comparisons"
        for _, row in comparisons.iterrows()
    ]
    return pd.Series(names, index=comparisons.index, dtype=object)
