"""Cells that no model of the evidence has seen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class HeldOut:
    """Cells of one data set that no model has seen."""

    name: str
    expression: Floats
    """``(cells, genes)``, as models are fed with it."""
    label: npt.NDArray[np.str_]
    """Cell types; empty where the data set has none."""
    batch: npt.NDArray[np.str_]
    """Batches; empty where it has none."""
