"""What a number of runs could show at all."""

import math
from functools import lru_cache

from statsmodels.stats.power import TTestIndPower


@lru_cache(maxsize=256)
def smallest_effect(
    n_model: int, n_reference: int, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The standardised difference that a two-sided t-test finds with this power.

    NaN where either has fewer than two runs: then no difference can be shown.
    """
    if min(n_model, n_reference) < 2:
        return float("nan")
    found = TTestIndPower().solve_power(
        nobs1=n_model, alpha=alpha, power=power, ratio=n_reference / n_model
    )
    return float(found)


def smallest_difference(
    n_model: int, n_reference: int, sd: float, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The same in the units of the metric, for a pooled standard deviation ``sd``."""
    return smallest_effect(n_model, n_reference, alpha=alpha, power=power) * sd


@lru_cache(maxsize=256)
def power_of_t_test(effect: float, n: int, *, alpha: float = 0.05) -> float:
    """Chance that a two-sided t-test with ``n`` runs each finds a standardised difference."""
    return float(TTestIndPower().power(effect, n, alpha)) if n > 1 else math.nan
