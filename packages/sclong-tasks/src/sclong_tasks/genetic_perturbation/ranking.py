"""Genes of a condition, ranked by how much they differ from control cells.

Shapes: g genes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
Genes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance of a group of cells."""

    mean_g: Floats
    variance_g: Floats
    """With one less than the number of cells below."""
    cells: int

    @classmethod
    def of(cls, cells_cg: sparse.csr_matrix) -> "Moments":
        """Of sparse expression."""
        count = cells_cg.shape[0]
        values = cells_cg.astype(np.float64)
        mean_g = np.asarray(values.mean(axis=0)).ravel()
        square_g = np.asarray(values.multiply(values).mean(axis=0)).ravel()
        variance_g = np.maximum(square_g - mean_g**2, 0) * count / max(count - 1, 1)
        return cls(mean_g, variance_g, count)


def rank_genes(condition: Moments, control: Moments) -> Genes:
    """All genes by Welch's t against control, largest absolute value first.

    As scanpy's ``rank_genes_groups`` with ``method="t-test"`` and ``rankby_abs``. Genes whose t is
    not defined, because they vary nowhere, come last; ties stay in the order of the genes.
    """
    error_g = np.sqrt(condition.variance_g / condition.cells + control.variance_g / control.cells)
    change_g = condition.mean_g - control.mean_g
    t_g = np.divide(change_g, error_g, out=np.zeros_like(change_g), where=error_g > 0)
    return np.argsort(-np.abs(t_g), kind="stable").astype(np.int64)


def without_dropouts(ranking: Genes, mean_g: Floats, control_g: Floats) -> Genes:
    """Ranked genes that are not zero in the condition's mean, or zero in the control's as well.

    The first 20 of these are GEARS's ``top_non_dropout_de_20``, on which the paper's figure rests.
    """
    kept_g = (mean_g != 0) | (control_g == 0)
    kept: Genes = ranking[kept_g[ranking]]
    return kept
