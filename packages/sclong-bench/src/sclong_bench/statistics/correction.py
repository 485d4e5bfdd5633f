"""Correction for many tests, over a family that is declared before."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import stats

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
