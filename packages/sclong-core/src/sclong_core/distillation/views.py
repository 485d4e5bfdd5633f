"""What a student sees of a cell: fewer counts, and a panel of its genes.

Its teacher saw the whole cell. So a student learns to say of a shallow or narrow measurement what
its teacher says of a deep and wide one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclong_core.distillation.cells import Floats, Places, TaughtCells
from sclong_core.errors import ConfigError
from sclong_core.nn.student import SparseCells

_PANELS = 4
"""Panels that are drawn for a batch."""


@dataclass(frozen=True)
class ViewOptions:
    """How cells are damaged."""

    thinned: float = 0.7
    """Share of the cells whose counts are thinned."""
    least_depth: float = 0.1
    """Smallest share of its counts that such a cell keeps."""
    in_panels: float = 0.5
    """Share of the cells that are cut to a panel."""
    least_genes: int = 256
    """Smallest panel."""

    def __post_init__(self) -> None:
        """Refuse shares and numbers that are none."""
        if not 0 < self.least_depth <= 1 or self.least_genes < 1:
            raise ConfigError("least_depth must be above 0 and at most 1, least_genes positive")
        if not (0 <= self.thinned <= 1 and 0 <= self.in_panels <= 1):
            raise ConfigError("thinned and in_panels must be from 0 to 1")


WHOLE = ViewOptions(thinned=0, in_panels=0)
"""Cells as they are."""


class View(NamedTuple):
    """Some cells as a student sees them, and what it has to say of them."""

    cells: SparseCells
    measured: Tensor
    """``(sets, genes)`` boolean: sets of measured genes."""
    set_of: Tensor
    """``(cells,)`` int64: the set of each."""
    target: Tensor
    """``(cells, width)``."""


def draw_view(
    taught: TaughtCells,
    chosen: Places,
    options: ViewOptions,
    target_sum: float | None,
    random: np.random.Generator,
) -> View:
    """A view of some cells.

    Args:
        taught: all cells.
        chosen: numbers of those to show.
        options: how much of them.
        target_sum: that counts of a cell are scaled to before log1p; None where values are scaled
            once more afterwards, so that counts cannot be told: then none is thinned.
        random: of all draws.
    """
    lengths = np.diff(taught.starts)[chosen]
    row = np.repeat(np.arange(len(chosen)), lengths)
    first = np.cumsum(lengths) - lengths
    places = np.arange(len(row)) - np.repeat(first - taught.starts[chosen], lengths)
    gene, value = taught.genes[places].astype(np.int64), taught.values[places]
    if options.thinned and target_sum is not None:
        share = np.exp(random.uniform(np.log(options.least_depth), 0, len(chosen)))
        share[random.random(len(chosen)) >= options.thinned] = 1
        value = _thinned(row, value, share, random)
    panels = _panels(taught, options, random)
    panel = np.zeros(len(chosen), dtype=np.int64)
    cut = random.random(len(chosen)) < options.in_panels
    panel[cut] = random.integers(1, len(panels), cut.sum())
    kept = (value > 0) & panels[panel[row], gene]
    row, gene, value = row[kept], gene[kept], value[kept]
    if target_sum is not None:
        again = cut & (random.random(len(chosen)) < 0.5)  # as of a file that has no other genes
        value = _scaled_again(row, value, again, target_sum)
    pairs, set_of = np.unique(taught.source[chosen] * len(panels) + panel, return_inverse=True)
    measured = taught.measured[pairs // len(panels)] & panels[pairs % len(panels)]
    starts = np.searchsorted(row, np.arange(len(chosen)))
    return View(
        SparseCells(torch.from_numpy(gene), torch.from_numpy(value), torch.from_numpy(starts)),
        torch.from_numpy(measured),
        torch.from_numpy(set_of),
        torch.from_numpy(taught.targets[chosen]),
    )


def _thinned(
    row: Places, value: Floats, share: npt.NDArray[np.float64], random: np.random.Generator
) -> Floats:
    """Values had only a share of the counts of each cell been seen.

    The smallest value of a cell stands for one count.
    """
    linear = np.expm1(value.astype(np.float64))
    unit = np.full(len(share), np.inf)
    np.minimum.at(unit, row, linear)
    counts = np.rint(linear / unit[row]).astype(np.int64)
    left = random.binomial(counts, share[row])
    thinned = np.log1p(left * unit[row] / share[row]).astype(np.float32)
    return np.asarray(np.where(share[row] < 1, thinned, value))


def _scaled_again(
    row: Places, value: Floats, again: npt.NDArray[np.bool_], target_sum: float
) -> Floats:
    """Values whose counts sum to ``target_sum`` over the genes that are left."""
    linear = np.expm1(value.astype(np.float64))
    total = np.bincount(row, weights=linear, minlength=len(again))
    factor = np.where(again & (total > 0), target_sum / np.maximum(total, 1e-12), 1)
    return np.asarray(np.log1p(linear * factor[row]), dtype=np.float32)


def _panels(
    taught: TaughtCells, options: ViewOptions, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """``(1 + panels, genes)``: all genes, then random sets of them."""
    genes = taught.measured.shape[1]
    panels = np.ones((1 + _PANELS, genes), dtype=np.bool_)
    if not options.in_panels:
        return panels
    known = np.flatnonzero(taught.measured.any(0))
    least = min(options.least_genes, len(known))
    for panel in panels[1:]:
        size = int(np.exp(random.uniform(np.log(least), np.log(len(known)))))
        panel[:] = False
        panel[random.choice(known, size, replace=False)] = True
    return panels
