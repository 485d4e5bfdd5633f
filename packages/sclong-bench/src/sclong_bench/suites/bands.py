"""Expected results: a band for each figure, and what is outside of its band."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import atomic_file

KEYS = ["task", "protocol", "scenario", "stratum", "metric", "model"]
"""What a figure is of."""
_COLUMNS = [*KEYS, "seeds", "mean", "low", "high"]
_SPREAD = 2.0
"""Half of a band, in standard deviations between seeds ..."""
_LEAST = 0.005
"""... and at least, relative to the figure: other processors add numbers in another order."""

Verdict = Literal["as expected", "too low", "too high", "missing", "other seeds", "new"]


@dataclass(frozen=True)
class Judged:
    """A figure beside what is expected of it."""

    name: tuple[str, ...]
    """Its keys."""
    verdict: Verdict
    mean: float
    """NaN where it is missing."""
    expected: float
    """NaN where nothing is expected of it."""
    low: float
    high: float

    @property
    def moved(self) -> bool:
        """Whether a reproduction fails over it: a figure that is new does no harm."""
        return self.verdict not in ("as expected", "new")


def make_bands(rows: pd.DataFrame) -> pd.DataFrame:
    """A band for each figure that is defined, from the spread between seeds.

    Args:
        rows: results of runs.

    Returns:
        Mean of the seeds, and two standard deviations (ddof 1) to either side, at least half a
        percent of the mean.
    """
    found = []
    for names, seeds, values in _figures(rows):
        mean, sd = values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0
        half = max(_SPREAD * sd, _LEAST * abs(mean), 1e-6)
        found.append([*names, seeds, mean, mean - half, mean + half])
    return pd.DataFrame(found, columns=_COLUMNS)


def write_bands(bands: pd.DataFrame, path: Path) -> None:
    """Write bands as a table that people can read and compare."""
    with atomic_file(path) as temporary:
        bands.to_csv(temporary, sep="\t", index=False, float_format="%.6g")


def read_bands(path: Path) -> pd.DataFrame:
    """The inverse of :func:`write_bands`.

    Raises:
        InputError: the file is missing or holds something else.
    """
    try:
        bands = pd.read_csv(path, sep="\t", dtype=dict.fromkeys([*KEYS, "seeds"], str))
        bands = bands.astype(dict.fromkeys(["mean", "low", "high"], float))
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} holds no expected results: {reason}") from error
    if list(bands.columns) != _COLUMNS or bands.isna().any(axis=None):
        raise InputError(f"{path} holds no expected results: it must have {', '.join(_COLUMNS)}")
    return bands


def judge(rows: pd.DataFrame, bands: pd.DataFrame) -> list[Judged]:
    """Each figure beside its band: those of the table first, then those that are new.

    Args:
        rows: results of runs.
        bands: of :func:`read_bands`, of the tasks that were run.
    """
    there = {names: (seeds, values.mean()) for names, seeds, values in _figures(rows)}
    found = []
    for band in bands.to_dict("records"):
        names = tuple(str(band[key]) for key in KEYS)
        seeds, mean = there.pop(names, (None, math.nan))
        verdict = _verdict(band, seeds, mean)
        found.append(Judged(names, verdict, mean, band["mean"], band["low"], band["high"]))
    nan = math.nan
    found += [Judged(names, "new", mean, nan, nan, nan) for names, (_, mean) in there.items()]
    return found


def _verdict(band: dict[str, object], seeds: str | None, mean: float) -> Verdict:
    if seeds is None:
        return "missing"
    if seeds != band["seeds"]:
        return "other seeds"
    if mean < float(str(band["low"])):
        return "too low"
    return "too high" if mean > float(str(band["high"])) else "as expected"


def _figures(rows: pd.DataFrame) -> Iterable[tuple[tuple[str, ...], str, "pd.Series[float]"]]:
    """Keys, seeds and values of each figure that every seed defines."""
    for names, group in rows.groupby(KEYS, sort=True):
        ordered = group.sort_values("seed")
        if ordered["value"].notna().all():
            seeds = " ".join(map(str, ordered["seed"]))
            yield tuple(map(str, names)), seeds, ordered["value"]
