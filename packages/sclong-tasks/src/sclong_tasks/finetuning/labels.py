"""Labelled cells of one file, and which of them train, select and test."""

import logging
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.annotation.reference import has_label
from sclong_tasks.cells import obs_column, say_left_out
from sclong_tasks.splits import Split, grouped_parts, make_split

LEAST_CELLS = 5
"""Of a label: fewer cannot be in all three parts."""
FEWEST = 20
"""Labelled cells in all."""
TEST, VALIDATION = 0.2, 0.15
"""Shares of the labelled cells."""
_DRAWS = 200
_LEAST_TRAINED = 0.4
_LOG = logging.getLogger("sclong")
Codes = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class LabelledCells:
    """Cells with a label."""

    rows: Codes
    """``(cells,)`` their places in the file."""
    codes: Codes
    """``(cells,)`` places in ``labels``."""
    labels: tuple[str, ...]
    """Sorted names, all of which are trained on."""
    groups: Names | None
    """``(cells,)`` what is kept apart in the split; None where nothing is."""
    split: Split
    """Of ``rows``, by place in it."""


def labelled_cells(
    adata: anndata.AnnData, label: str, group: str | None, *, seed: int, path: Path
) -> LabelledCells:
    """Labels of a file, and a split.

    Without groups each label is split in the same shares. With groups, no group is in two parts;
    of two groups one is tested on, and the cells that select are drawn from the other.

    Args:
        adata: of the file.
        label: column of ``obs``.
        group: column of ``obs`` whose values are kept apart: donors, studies.
        seed: draws the split.
        path: of the file, for messages.

    Raises:
        ConfigError: the seed is negative, or one column is to be label and group.
        InputError: a column is missing, or its cells cannot be learned from.
    """
    if seed < 0:
        raise ConfigError(f"the seed must not be negative, and is {seed}")
    if label == group:
        raise ConfigError(f"{label!r} is label and group: name two columns")
    names = obs_column(adata.obs, [label], "--label", path)
    groups = None if group is None else obs_column(adata.obs, [group], "--group", path)
    kept = has_label(names)
    if not kept.all():
        _LOG.info("%s: left out %s cells without a label", path.name, f"{(~kept).sum():,}")
    if groups is not None and (nameless := kept & (groups == "")).any():
        _LOG.info("%s: left out %s cells without %s", path.name, f"{nameless.sum():,}", group)
        kept &= ~nameless
    kept &= _often(names, kept)
    rows = np.flatnonzero(kept)
    _check(names[rows], label, path)
    groups = None if groups is None else groups[rows]
    parts = draw_parts(names[rows], groups, seed)
    learned = np.unique(names[rows][parts["train"]])
    _check_parts(names[rows], groups, parts, path)
    split = make_split(parts, name=group or "cells", seed=seed, unit=group or "cell")
    codes = np.searchsorted(learned, names[rows]).astype(np.int64)
    return LabelledCells(rows, codes, tuple(map(str, learned)), groups, split)


def draw_parts(names: Names, groups: Names | None, seed: int) -> dict[str, Codes]:
    """Cells that train, select and test, all of labels that are trained on.

    Args:
        names: ``(cells,)`` labels, each of ``LEAST_CELLS`` cells or more.
        groups: ``(cells,)`` what is never in two parts; None where nothing is kept apart.
        seed: of the draw.

    Raises:
        InputError: the groups are too few, or share too few labels.
    """
    parts = _by_label(names, seed) if groups is None else _by_group(names, groups, seed)
    known = np.isin(names, names[parts["train"]])
    return {part: chosen[known[chosen]] for part, chosen in parts.items()}


def _often(names: Names, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Cells whose label is not rare; the rare ones are named."""
    found, counts = np.unique(names[kept], return_counts=True)
    rare = found[counts < LEAST_CELLS]
    say_left_out(f"labels of fewer than {LEAST_CELLS} cells", list(map(str, rare)))
    return ~np.isin(names, rare)


def _check(names: Names, label: str, path: Path) -> None:
    labels = np.unique(names)
    if len(labels) < 2:
        raise InputError(
            f"{path}: the column {label!r} has {len(labels)} labels with {LEAST_CELLS} or more "
            "cells: two are needed; name another column with --label"
        )
    if len(names) < FEWEST:
        raise InputError(
            f"{path} has {len(names)} labelled cells: at least {FEWEST} are needed; label more "
            "cells, or use `sclong annotate` with a larger reference"
        )


def _by_label(names: Names, seed: int) -> dict[str, Codes]:
    """The same shares of each label, at least one cell in each part."""
    generator = np.random.default_rng(seed)
    parts: dict[str, list[Codes]] = {"test": [], "validation": [], "train": []}
    for label in np.unique(names):
        cells = generator.permutation(np.flatnonzero(names == label))
        cuts = np.cumsum([max(1, round(share * len(cells))) for share in (TEST, VALIDATION)])
        for part, chosen in zip(parts, np.split(cells, cuts), strict=True):
            parts[part].append(chosen)
    return {part: np.concatenate(chosen) for part, chosen in parts.items()}


def _by_group(names: Names, groups: Names, seed: int) -> dict[str, Codes]:
    """Groups apart: the first of many draws that no other beats in labels trained and tested on."""
    count = len(np.unique(groups))
    if count < 2:
        raise InputError(
            f"all labelled cells are of the group {str(groups[0])!r}: at least two groups are "
            "needed to keep them apart; leave --group out, or name another column"
        )
    shared = {str(name) for name in np.unique(names) if len(np.unique(groups[names == name])) > 1}
    if len(shared) < 2:
        raise InputError(
            f"{len(shared)} labels occur in more than one group: two are needed to test on groups "
            "that were not trained on; leave --group out, or add groups"
        )
    best: tuple[tuple[int, int, bool], dict[str, Codes]] | None = None
    for draw in range(_DRAWS):
        parts = _draw(names, groups, count, seed * _DRAWS + draw)
        trained, tested = (set(names[parts[part]]) for part in ("train", "test"))
        few = len(parts["train"]) < _LEAST_TRAINED * len(names)
        faults = (len(set(names) - trained), len(shared - tested), few)
        if best is None or faults < best[0]:
            best = (faults, parts)
    assert best is not None
    return best[1]


def _draw(names: Names, groups: Names, count: int, seed: int) -> dict[str, Codes]:
    if count > 2:
        return grouped_parts(groups, {"test": TEST, "validation": VALIDATION}, seed)
    parts = grouped_parts(groups, {"test": TEST}, seed)
    inner = _by_label(names[parts["train"]], seed)
    train = np.concatenate([inner["train"], inner["test"]])
    chosen = {"train": parts["train"][train], "validation": parts["train"][inner["validation"]]}
    return {"test": parts["test"], **chosen}


def _check_parts(names: Names, groups: Names | None, parts: dict[str, Codes], path: Path) -> None:
    """Name what cannot be learned or tested with these groups."""
    every = {part: set(map(str, names[rows])) for part, rows in parts.items()}
    if len(every["train"]) < 2:
        raise InputError(f"{path}: the groups that are left to train on have one label: add groups")
    lost = sorted(set(map(str, names)) - every["train"])
    if lost:
        _LOG.warning("labels of held-out groups alone, which are not learned: %s", "; ".join(lost))
    if groups is None:
        _LOG.warning(
            "cells of one donor may be trained and tested on: the score holds for more cells of "
            "these donors; --group COLUMN keeps donors apart"
        )
        return
    untested = sorted(every["train"] - every["test"])
    if untested:
        _LOG.warning("labels that no held-out group has, so no score: %s", "; ".join(untested))
