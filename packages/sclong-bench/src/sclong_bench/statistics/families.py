"""Families of tests: what is corrected together is declared before, and written under the table."""

from collections.abc import Sequence

import pandas as pd

from sclong_bench.results.schema import SETTING
from sclong_core.errors import ConfigError

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
