"""Which cells are held out: by their own hash, by data set, by donor, by any obs column."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError
from sclong_data.corpus.corpus import DATASET, CellCorpus

Numbers = npt.NDArray[np.int64]
CELL = "cell"
_WITHIN_DATASETS = ("donor_id", "sample_id", "batch")
"""Columns whose names are given by each data set for itself."""
_RANGE = 2.0**64


@dataclass(frozen=True)
class SplitConfig:
    """What is held out for validation."""

    by: str = CELL
    """"cell": each cell for itself, by a hash of its expression, so that equal cells stand on one
    side. Or an obs column, as dataset or donor_id: all cells of a group stand on one side."""
    groups: tuple[str, ...] = ()
    """Hold out just these groups of the column; by default a share of them by their hash."""

    def __post_init__(self) -> None:
        """Refuse groups of single cells."""
        if self.groups and self.by == CELL:
            raise ConfigError("split.groups needs a column to be groups of: set split.by")


def split_corpus(
    corpus: CellCorpus, split: SplitConfig, fraction: float, seed: int
) -> tuple[Numbers, Numbers]:
    """Numbers of the cells for training and for validation, each ascending.

    A side is decided by a hash of the cell, or of the name of its group, and the seed: cells stay
    where they are when data sets are added.

    Args:
        corpus: with the cells.
        split: what is held out.
        fraction: for validation; 0 for none.
        seed: of the split.

    Raises:
        ConfigError: there is no such column or group, or too few groups to hold one out.
    """
    if split.by == CELL:
        held_out = _shares(corpus.keys, seed) < fraction
        if fraction > 0 and held_out.size and not held_out.any():
            held_out[np.argmin(_shares(corpus.keys, seed))] = True
    else:
        held_out = _held_out_groups(_groups(corpus, split), split, fraction, seed)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _shares(keys: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    """A number from 0 to 1 for each key: the finaliser of SplitMix64, an even mixing of 64 bits."""
    start = hashlib.blake2b(f"split {seed}".encode(), digest_size=8).digest()
    mixed = np.asarray(keys) ^ np.uint64(int.from_bytes(start, "little"))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) / _RANGE


def _groups(corpus: CellCorpus, split: SplitConfig) -> pd.Series:
    """The group of each cell; a donor's name is one of its data set."""
    if split.by == DATASET:
        return pd.Series(corpus.datasets())
    column = corpus.obs([split.by])[split.by].astype("category").reset_index(drop=True)
    if split.by not in _WITHIN_DATASETS:
        return column
    datasets = pd.Series(corpus.datasets()).astype(str)
    return (datasets + "/" + column.astype(object).fillna("").astype(str)).astype("category")


def _held_out_groups(
    groups: pd.Series, split: SplitConfig, fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    names = [str(name) for name in groups.cat.categories]
    if split.groups:
        if missing := sorted(set(split.groups) - set(names)):
            shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise ConfigError(f"split.groups: no {split.by} {missing[0]!r} (there are {shown})")
        chosen = np.array([name in split.groups for name in names], dtype=bool)
    else:
        shares = np.array([_share(name, seed) for name in names])
        chosen = shares < fraction
        if fraction > 0 and not chosen.any():
            if len(names) < 2:
                raise ConfigError(
                    f"split.by {split.by!r} has fewer than two groups: none can be held out"
                )
            chosen[np.argmin(shares)] = True
    codes = groups.cat.codes.to_numpy()
    held: npt.NDArray[np.bool_] = (codes >= 0) & np.append(chosen, False)[codes]
    return held


def _share(name: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}\n{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _RANGE
