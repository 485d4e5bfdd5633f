"""Cells that are stored alike: which copy stays, and between which data sets they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sclong_data.harmoniser.digests import Digests

_BUCKET_BITS = 8


@dataclass(frozen=True)
class CellRun:
    """Cells of one data set that follow each other in its file."""

    dataset: str
    """Its id."""
    first: int
    """Something that rises with the rows: the number of the shard, or of the first row."""
    digests: Digests
    """``(cells, 2)``, in the order of the rows."""


@dataclass(frozen=True)
class Duplicates:
    """Which cells stay, and which pairs of data sets share cells."""

    kept: tuple[npt.NDArray[np.bool_], ...]
    """For each run, in the order given: the cells that stay."""
    pairs: dict[tuple[str, str], int]
    """(data set of the copy that stays, data set of the copy that goes): number of those gone."""


def find_duplicates(runs: Sequence[CellRun]) -> Duplicates:
    """Of cells with the same digest, the first stays: by the id of the data set, then by row.

    The result depends on nothing but the cells: neither on the order of the runs nor on how the
    rows of a data set are divided into runs. Memory is about 30 bytes a cell beside the digests
    given, since cells are compared in groups with the same first bits.
    """
    order = sorted(range(len(runs)), key=lambda number: (runs[number].dataset, runs[number].first))
    names = sorted({run.dataset for run in runs})
    place = {name: number for number, name in enumerate(names)}
    sizes = [len(runs[number].digests) for number in order]
    cells = sum(sizes)
    none = np.zeros((0, 2), dtype=np.uint64)
    digests = np.concatenate([none, *(runs[number].digests for number in order)])
    owner = np.repeat(
        np.array([place[runs[number].dataset] for number in order], dtype=np.int32), sizes
    )
    kept = np.ones(cells, dtype=bool)
    found: dict[tuple[str, str], int] = {}
    bucket = (digests[:, 0] >> np.uint64(64 - _BUCKET_BITS)).astype(np.uint8)
    by_bucket = np.argsort(bucket, kind="stable")  # a radix sort: one pass over the cells
    ends = np.cumsum(np.bincount(bucket, minlength=1 << _BUCKET_BITS))
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        members = by_bucket[start:stop]
        gone, stays = _later_copies(digests[members])
        kept[members[gone]] = False
        for (one, other), count in _count(owner[members[stays]], owner[members[gone]]):
            pair = (names[one], names[other])
            found[pair] = found.get(pair, 0) + count
    parts = np.split(kept, np.cumsum(sizes)[:-1]) if sizes else []
    by_run = dict(zip(order, parts, strict=True))
    return Duplicates(
        tuple(by_run[number] for number in range(len(runs))), dict(sorted(found.items()))
    )


def _later_copies(
    digests: Digests,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of the cells that have an earlier copy, and of the earliest copy of each."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: equal ones stay in order
    ordered = digests[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    return order[~new], order[first[~new]]


def _count(
    stays: npt.NDArray[np.int32], gone: npt.NDArray[np.int32]
) -> list[tuple[tuple[int, int], int]]:
    """How often each pair of data sets occurs."""
    if not stays.size:
        return []
    pairs, counts = np.unique(np.stack([stays, gone], axis=1), axis=0, return_counts=True)
    return [
        ((int(one), int(other)), int(count))
        for (one, other), count in zip(pairs, counts, strict=True)
    ]
