"""Which values of a cell are hidden from the model and which count in the loss.

Source: the paper, "scLong pretraining", and the authors' release, which differ: the paper hides all
chosen values, the release hides each with a probability of 0.9 and scores it all the same.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError
from sclong_core.pretraining.seeds import Draws, philox_keys

_TRAINING, _VALIDATION = 0, 1
"""Streams of random numbers: validation never repeats a mask of training."""
_ROUNDING = 1e-9
"""Keeps 0.15 * 20 at 3: a product that is whole on paper is not lifted by its last bit."""
_SPREADS = 4
"""Standard deviations above the expected place of the last chosen draw, below which to look."""
_NONE = np.empty(0, dtype=np.int64)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MaskingConfig:
    """How many values are chosen, and how often one of them is hidden."""

    ratio: float = 0.15
    """Share of a cell's non-zero values that is scored, rounded up to whole values."""
    replaced: float = 0.9
    """Probability that a scored value is hidden, drawn for each; others stay visible. The release
    has 0.9, the paper 1.0."""
    seed: int = 0
    """Of the masks alone."""

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1."""
        for name in ("ratio", "replaced"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(
                    f"masking.{name} must be above 0 and at most 1, not {getattr(self, name)!r}"
                )
        if self.seed < 0:
            raise ConfigError(f"masking.seed must not be negative, not {self.seed!r}")

    def for_validation(self) -> Self:
        """The same share of values, all of them hidden.

        A visible value that is scored measures copying, which the baselines cannot do.
        """
        return replace(self, replaced=1.0)


def draw_masks(
    expression_row: npt.NDArray[np.float32],
    *,
    config: MaskingConfig,
    epoch: int,
    cell: int,
    validation: bool = False,
) -> tuple[Mask, Mask]:
    """Masks of one cell, a pure function of its values and (seed, stream, epoch, cell).

    ``ceil(ratio * non-zeros)`` values are scored, and each of them hidden with probability
    ``replaced``.

    Args:
        expression_row: ``(genes,)`` expression; zeros are never chosen.
        config: shares and seed.
        epoch: of the training.
        cell: number of the cell in its file.
        validation: draw from the stream of validation masks.

    Returns:
        ``masked`` and ``scored``, each boolean ``(genes,)``. Masked values are scored too.
    """
    expressed = np.flatnonzero(expression_row)
    chosen, hidden = choose_values(
        expressed.size, config=config, epoch=epoch, cell=cell, validation=validation
    )
    masked = np.zeros(expression_row.shape, dtype=np.bool_)
    scored = np.zeros(expression_row.shape, dtype=np.bool_)
    masked[expressed[chosen[:hidden]]] = True
    scored[expressed[chosen]] = True
    return masked, scored


def choose_values(
    expressed: int, *, config: MaskingConfig, epoch: int, cell: int, validation: bool = False
) -> tuple[npt.NDArray[np.int64], int]:
    """What :func:`draw_masks` chooses, among the expressed values of a cell alone.

    Args:
        expressed: number of values that are not zero.
        config: shares and seed.
        epoch: of the training.
        cell: number of the cell, or its key.
        validation: draw from the stream of validation masks.

    Returns:
        Places of the scored values, and how many of them, from the first on, are hidden.
    """
    stream = _VALIDATION if validation else _TRAINING
    seeds = np.random.SeedSequence((config.seed, stream, epoch, cell))
    chosen = _scored(expressed, config)
    draws = np.random.Generator(np.random.Philox(seeds)).random(expressed + chosen)
    return _choose(draws, chosen, config)


def choose_of_cells(
    expressed: Iterable[int],
    *,
    config: MaskingConfig,
    epoch: int,
    cells: npt.NDArray[np.uint64],
    validation: bool = False,
) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """What :func:`choose_values` chooses for each of many cells, in half of the time.

    Args:
        expressed: number of values of each cell that are not zero.
        config: shares and seed.
        epoch: of the training.
        cells: number or key of each.
        validation: draw from the stream of validation masks.
    """
    stream = _VALIDATION if validation else _TRAINING
    draws = Draws(philox_keys((config.seed, stream, epoch), cells))
    for row, count in enumerate(expressed):
        chosen = _scored(count, config)
        yield _choose(draws.of(row, count + chosen), chosen, config)


def _scored(expressed: int, config: MaskingConfig) -> int:
    """How many of a cell's expressed values are scored."""
    return math.ceil(config.ratio * expressed - _ROUNDING)


def _choose(
    draws: npt.NDArray[np.float64], chosen: int, config: MaskingConfig
) -> tuple[npt.NDArray[np.int64], int]:
    """Places of the lowest draws, those that are hidden first, and how many these are.

    Args:
        draws: one for each expressed value, then one for each that is chosen.
        chosen: how many are.
        config: shares.
    """
    if not chosen:
        return _NONE, 0
    places = _lowest(draws[:-chosen], chosen)
    hidden = draws[-chosen:] < config.replaced
    return np.concatenate([places[hidden], places[~hidden]]), int(hidden.sum())


def _lowest(draws: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Places of the lowest of uniform draws, the lowest first."""
    share = count / draws.size
    spread = math.sqrt(share * (1 - share) / draws.size)
    candidates = np.flatnonzero(draws < share + _SPREADS * spread)
    if candidates.size < count:  # about one cell in thirty thousand
        candidates = np.arange(draws.size)
    return candidates[np.argsort(draws[candidates])[:count]]
