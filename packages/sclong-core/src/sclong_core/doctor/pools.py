"""Which rule from genes to a cell keeps types, and mixes batches, on the cells at hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from sclong_core.embedding.inference import embed_cells, run_model
from sclong_core.embedding.pooling import OF_READOUT, Pool, pool_cells
from sclong_core.expression import PreparedCells
from sclong_core.model import ScLong

Floats = npt.NDArray[np.float32]
Names = npt.NDArray[np.str_]
NEIGHBOURS = 15
COMPONENTS = "50 components of these cells, no model"
_DRAWS = 1_000
_WIDTH = 50


@dataclass(frozen=True)
class PoolScore:
    """How one rule does; NaN where there is no column of types, or of batches."""

    pool: str
    types: float
    """Share of cells whose nearest 15 others mostly have its type."""
    mixing: float
    """Share of neighbours from other batches, of that which cells drawn at random would have;
    of cells of the same type where types are known. 1 is mixed, 0 apart."""
    best_types: float
    """Share of draws of cells in which no other rule keeps types better."""
    best_mixing: float
    """The same of mixing."""


def pool_vectors(
    model: ScLong,
    cells: PreparedCells,
    *,
    batch_size: int,
    advance: Callable[[int], None] = lambda _cells: None,
) -> dict[str, Floats]:
    """Vectors of all cells by every rule that the model has, and by components of the cells."""
    found: dict[str, Floats] = {}
    readout = model.config.readout
    for rule in OF_READOUT:
        if readout is not None and (rule == "cell" or readout.components):
            found[rule] = embed_cells(model, cells, pool=rule, batch_size=batch_size)
    plain: tuple[Pool, ...] = tuple(rule for rule in get_args(Pool) if rule not in OF_READOUT)
    parts: dict[str, list[Floats]] = {rule: [] for rule in plain}
    measured = np.unique(cells.match.positions)
    inputs = []
    for batch in run_model(model, cells, batch_size=batch_size, advance=advance):
        for rule in plain:
            pooled = pool_cells(batch.output, batch.expression, rule)
            values = pooled.float().cpu().numpy()
            parts[rule].append(values[:, measured] if rule == "gene_sums" else values)
        inputs.append(batch.expression.cpu().numpy()[:, measured])
    found |= {rule: np.concatenate(values) for rule, values in parts.items()}
    found[COMPONENTS] = _components(np.concatenate(inputs))
    return found


def _components(values: Floats) -> Floats:
    centred = values - values.mean(0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(left[:, :_WIDTH] * size[:_WIDTH], dtype=np.float32)


def score_pools(
    vectors: Mapping[str, Floats], types: Names | None, batches: Names | None
) -> list[PoolScore]:
    """Every rule, in the order that it came."""
    cells = len(next(iter(vectors.values())))
    kept, mixed = np.full((2, len(vectors), cells), np.nan)
    for place, found in enumerate(vectors.values()):
        near = _neighbours(found)
        if types is not None:
            kept[place] = _majority(types, near) == types
        if batches is not None:
            mixed[place] = _mixing(batches, types, near)
    best_types, best_mixing = _best(kept), _best(mixed)
    return [
        PoolScore(
            pool,
            float(kept[place].mean()),
            float(np.nanmean(mixed[place])) if np.isfinite(mixed[place]).any() else float("nan"),
            float(best_types[place]),
            float(best_mixing[place]),
        )
        for place, pool in enumerate(vectors)
    ]


def chance_of_types(types: Names) -> float:
    """Share of cells that has the commonest type."""
    return float(np.unique(types, return_counts=True)[1].max() / len(types))


def _neighbours(vectors: Floats) -> npt.NDArray[np.intp]:
    """``(cells, k)`` nearest others by cosine around the mean."""
    centred = vectors - vectors.mean(0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    return np.argsort(-likeness, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(vectors) - 1)]


def _majority(types: Names, near: npt.NDArray[np.intp]) -> Names:
    names, codes = np.unique(types, return_inverse=True)
    votes = np.zeros((len(types), len(names)))
    np.add.at(votes, (np.arange(len(types))[:, None], codes[near]), 1)
    return np.asarray(names[votes.argmax(1)])


def _mixing(
    batches: Names, types: Names | None, near: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Of each cell; NaN for cells of a type of one batch, and those without a neighbour of it."""
    same = np.ones((len(batches), len(batches)), dtype=bool)
    if types is not None:
        same = types[:, None] == types[None]
    other = batches[:, None] != batches[None]
    np.fill_diagonal(same, val=False)
    expected = (same & other).sum(1) / np.maximum(same.sum(1), 1)
    rows = np.arange(len(batches))[:, None]
    counted = same[rows, near].sum(1)
    share = (same & other)[rows, near].sum(1) / np.maximum(counted, 1)
    usable = (expected > 0) & (counted > 0)
    return np.where(usable, share / np.where(expected > 0, expected, 1), np.nan)


def _best(values_pn: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Share of draws of cells in which each rule is the best; NaN without values."""
    used = np.isfinite(values_pn).all(0)
    cells = int(used.sum())
    if not cells:
        return np.full(len(values_pn), np.nan)
    drawn = np.random.default_rng(0).multinomial(cells, np.full(cells, 1 / cells), size=_DRAWS)
    first = (values_pn[:, used] @ drawn.T).argmax(0)
    return np.bincount(first, minlength=len(values_pn)) / _DRAWS
