"""Which values of a cell are hidden from the model and which count in the loss.

Source: the paper, "scLong pretraining", and the authors' release, which differ: the paper hides all
chosen values, the release keeps one in ten of them visible and scores it all the same.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError

_TRAINING, _VALIDATION = 0, 1
"""Streams of random numbers: validation never repeats a mask of training."""
_ROUNDING = 1e-9
"""Keeps 0.15 * 20 at 3: a product that is whole on paper is not lifted by its last bit."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MaskingConfig:
    """How many values are chosen, and how many of them are hidden."""

    ratio: float = 0.15
    """Share of a cell's non-zero values that is scored, rounded up to whole values."""
    replaced: float = 0.9
    """Share of the scored values that is hidden, rounded down; the rest stays visible. The release
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

    ``ceil(ratio * non-zeros)`` values are scored, and ``floor(replaced * scored)`` of them hidden.

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
    chosen = math.ceil(config.ratio * expressed - _ROUNDING)
    hidden = math.floor(config.replaced * chosen + _ROUNDING)
    stream = _VALIDATION if validation else _TRAINING
    seeds = np.random.SeedSequence((config.seed, stream, epoch, cell))
    draws = np.random.Generator(np.random.Philox(seeds)).random(expressed)
    if not chosen:
        return np.empty(0, dtype=np.int64), 0
    # Those with the lowest draws; to find them needs no sorting of all.
    lowest = np.argpartition(draws, (max(hidden - 1, 0), chosen - 1))
    return lowest[:chosen], hidden
