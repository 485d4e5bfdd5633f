"""Splits by seed and group: which rows are trained on, which select, which test."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclong_core.array_files import read_arrays
from sclong_core.errors import InputError
from sclong_core.files import atomic_file, write_json

IntArray = npt.NDArray[np.int64]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of each part, ascending, no row in two parts."""

    name: str
    """Of the scenario."""
    seed: int
    """That drew it."""
    unit: str
    """What is never in two parts: "row", "cell line", "drug", ..."""
    train: IntArray
    validation: IntArray
    test: IntArray

    @property
    def digest(self) -> str:
        """SHA-256 of the three parts."""
        digest = hashlib.sha256()
        for part in PARTS:
            rows = getattr(self, part)
            digest.update(f"{part} {len(rows)}\n".encode())
            digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
        return digest.hexdigest()

    def sizes(self) -> dict[str, int]:
        """Rows of each part."""
        return {part: len(getattr(self, part)) for part in PARTS}

    def write(self, folder: Path) -> None:
        """Write ``split.npz`` (rows) and ``split.json`` (facts)."""
        with atomic_file(folder / "split.npz") as path:
            np.savez_compressed(path, **{part: getattr(self, part) for part in PARTS})
        facts: dict[str, Any] = {"name": self.name, "seed": self.seed, "unit": self.unit}
        write_json(folder / "split.json", {**facts, "rows": self.sizes(), "digest": self.digest})

    @classmethod
    def read(cls, folder: Path) -> "Split":
        """Read what :meth:`write` wrote.

        Raises:
            InputError: the files are damaged.
        """
        try:
            facts = json.loads((folder / "split.json").read_text(encoding="utf-8"))
            arrays = read_arrays(folder / "split.npz", PARTS, "a split")
            parts = {part: arrays[part].astype(np.int64) for part in PARTS}
            split = cls(name=facts["name"], seed=facts["seed"], unit=facts["unit"], **parts)
            recorded = facts["digest"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{folder} holds no split ({error}): run again") from error
        if split.digest != recorded:
            raise InputError(f"{folder / 'split.npz'} does not match its digest: run again")
        return split


def make_split(
    parts: Mapping[str, npt.ArrayLike], *, name: str, seed: int, unit: str, may_be_empty: str = ""
) -> Split:
    """A checked split.

    Args:
        parts: rows of "train", "validation" and "test" in any order; a missing one is empty.
        name: of the scenario.
        seed: that drew it.
        unit: what is never in two parts.
        may_be_empty: names of parts, separated by spaces, that the scenario has no rows for.

    Raises:
        InputError: a part is empty, or a row is in two parts.
    """
    rows = {part: np.sort(np.asarray(parts.get(part, ()), dtype=np.int64)) for part in PARTS}
    for part in PARTS:
        if not len(rows[part]) and part not in may_be_empty.split():
            raise InputError(
                f"the split {name!r} has no {part} rows: too few {unit}s are left for it; add "
                "data, or choose another scenario or fraction"
            )
    everything = np.concatenate([rows[part] for part in PARTS])
    if len(np.unique(everything)) != len(everything):
        raise InputError(f"the split {name!r} has a row in two parts")
    return Split(name=name, seed=seed, unit=unit, **rows)


def random_parts(rows: npt.ArrayLike, sizes: Mapping[str, int], seed: int) -> dict[str, IntArray]:
    """Draw parts of exactly these sizes from rows; what is left is "train"."""
    shuffled = np.random.default_rng(seed).permutation(np.asarray(rows, dtype=np.int64))
    parts: dict[str, IntArray] = {}
    start = 0
    for part, size in sizes.items():
        parts[part] = shuffled[start : start + size]
        start += size
    return {**parts, "train": shuffled[start:]}


def grouped_parts(
    groups: npt.ArrayLike, fractions: Mapping[str, float], seed: int
) -> dict[str, IntArray]:
    """Draw parts that never share a group.

    Groups are taken in random order; each part is filled until it has its fraction of the rows,
    and has at least one group. What is left is "train".

    Args:
        groups: one value a row.
        fractions: of the rows, for "validation" and "test".
        seed: of the order of the groups, which does not depend on the order of the rows.
    """
    names, codes, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    filled = np.cumsum(counts[order])
    part_of_group = np.full(len(names), "train", dtype="<U10")
    start, done = 0, 0.0
    for part, fraction in fractions.items():
        done += fraction * len(codes)
        end = max(start + 1, int(np.searchsorted(filled, done, side="left")) + 1)
        part_of_group[order[start:end]] = part
        start = end
    part_of_row = part_of_group[codes]
    return {part: np.flatnonzero(part_of_row == part) for part in (*fractions, "train")}


def shared_groups(split: Split, groups: npt.ArrayLike) -> tuple[str, ...]:
    """Groups that have rows in the test part and in another part: leaks, empty if all is well."""
    values = np.asarray(groups)
    seen = np.unique(np.concatenate([values[split.train], values[split.validation]]))
    return tuple(str(name) for name in np.intersect1d(seen, np.unique(values[split.test])))


def check_no_leak(split: Split, groups: npt.ArrayLike, what: str) -> None:
    """Refuse a split that has a group on both sides.

    Raises:
        InputError: names the first of them and says how many.
    """
    shared = shared_groups(split, groups)
    if shared:
        raise InputError(
            f"the split {split.name!r} leaks: {len(shared)} {what}(s) are in the test rows and "
            f"outside them, {shared[0]} the first"
        )
