"""From movements to a table: means, intervals, a null of like genes, corrected p-values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control

from sclong_tasks.in_silico.genes import Change, LikeGenes
from sclong_tasks.in_silico.moving import Floats, Mover

Doubles = npt.NDArray[np.float64]
_DRAWS = 500
COLUMNS = (
    "gene", "change", "group", "towards", "cells", "changed", "expression", "detection",
    "moved", "moved_low", "moved_high", "euclid", "moved_null", "moved_p", "moved_q",
    "approach", "approach_low", "approach_high", "approach_null", "approach_p", "approach_q",
    "null_genes", "null_expression",
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Cells that are changed, and where they may move."""

    name: str
    mover: Mover
    like: LikeGenes
    mean_g: Doubles
    """Mean expression of each gene in these cells."""
    detection_g: Doubles
    """Share of these cells that express each gene."""
    places: Mapping[str, Floats]
    """Unit vectors of the places by name."""


def changed_group(
    group: Group,
    changes: Sequence[Change],
    *,
    without: Sequence[int],
    null: int,
    seed: int,
    advance: Callable[[int], None] = lambda _changes: None,
) -> list[dict[str, Any]]:
    """Rows of a group: one for each change and place, or for each change where there is no place.

    Args:
        group: of cells.
        changes: of genes.
        without: positions of genes that stand in for none: those that were asked about.
        null: genes that stand in for one, at most.
        seed: of the bootstrap.
        advance: told of each change that was made.

    Raises:
        InputError: too few genes are like one of them.
    """
    weights = _draws(len(group.mover.unit_nw), seed)
    rows = []
    for change in changes:
        rows += _rows(group, change, weights, null, without)
        advance(1)
    return rows


def _rows(
    group: Group, change: Change, weights_dn: Doubles, null: int, without: Sequence[int]
) -> list[dict[str, Any]]:
    found = group.mover.move(change)
    names = list(group.places) or [""]
    width = found.shift_nw.shape[1]
    places_pw = np.stack(list(group.places.values())) if group.places else np.zeros((0, width))
    like: list[Change] = []
    if found.euclid_n.any():  # else nothing was changed, or nothing that the model reads
        like = group.like.of(change, null, without)
    means = [group.mover.mean(one) for one in like]
    null_moved = np.array([mean for mean, _ in means])
    null_shift = np.stack([shift for _, shift in means]) if means else np.zeros((0, width))
    positions = list(change.positions)
    shared = {
        "gene": change.name,
        "change": change.kind,
        "group": group.name,
        "cells": len(found.euclid_n),
        "changed": found.changed,
        "expression": group.mean_g[positions].mean(),
        "detection": group.detection_g[positions].mean(),
        **_judged("moved", found.cosine_n, weights_dn, null_moved, both=False),
        "euclid": float(found.euclid_n.mean()),
        "null_genes": len(like),
        "null_expression": float(np.mean([group.mean_g[list(one.positions)] for one in like]))
        if like
        else float("nan"),
    }
    rows = []
    for place, name in enumerate(names):
        row = {**shared, "towards": name}
        if group.places:
            towards_n = found.shift_nw @ places_pw[place]
            row |= _judged("approach", towards_n, weights_dn, null_shift @ places_pw[place])
        rows.append(row)
    return rows


def _judged(
    name: str, values_n: Floats, weights_dn: Doubles, null: Doubles, *, both: bool = True
) -> dict[str, float]:
    """Mean with an interval over cells, and its place among the means of like genes."""
    mean = float(values_n.mean(dtype=np.float64))
    low, high = np.quantile(weights_dn @ values_n.astype(np.float64), [0.025, 0.975])
    p = float("nan") if not values_n.any() else 1.0
    if len(null):
        above = (1 + (null >= mean).sum()) / (1 + len(null))
        below = (1 + (null <= mean).sum()) / (1 + len(null))
        p = min(1.0, 2 * min(above, below)) if both else above
    middle = float(np.median(null)) if len(null) else float("nan")
    return {
        name: mean,
        f"{name}_low": float(low),
        f"{name}_high": float(high),
        f"{name}_null": middle,
        f"{name}_p": float(p),
    }


def _draws(cells: int, seed: int) -> Doubles:
    """``(draws, cells)`` weights of a bootstrap over cells."""
    drawn = np.random.default_rng(seed).multinomial(cells, np.full(cells, 1 / cells), size=_DRAWS)
    return np.asarray(drawn / cells, dtype=np.float64)


def corrected(rows: Sequence[Mapping[str, Any]], ranked: int = 0) -> pd.DataFrame:
    """The table, with p-values corrected by Benjamini and Hochberg over all of its rows.

    Args:
        rows: of all groups.
        ranked: changes of which these are the highest, for each group and place; the others count
            as tests with a p-value of 1.
    """
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    change = ["gene", "change"]
    changes = max(len(table[change].drop_duplicates()), 1)
    for name, keys in (
        ("moved", [*change, "group"]),
        ("approach", [*change, "group", "towards"]),
    ):
        tests = table.drop_duplicates(keys)
        p = tests[f"{name}_p"].dropna()
        if not len(p):
            continue
        others = len(p) // changes * max(0, ranked - changes)
        q = false_discovery_control(np.concatenate([p, np.ones(others)]))[: len(p)]
        known = tests.loc[p.index, keys].assign(q=q)
        table[f"{name}_q"] = table[keys].merge(known, on=keys, how="left")["q"].to_numpy()
    return table
