"""What becomes of a block of cells: values as the model is trained on, and who is left out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sclong_core.expression import GeneMatch, Normalisation
from sclong_core.expression.normalisation import (
    Floats,
    exact_counts,
    matched_logs,
    matched_rows,
    row_maxima,
    to_maximum,
)
from sclong_core.expression.rows import Csr, Rows, canonical, row_index
from sclong_data.harmoniser.rules import PRINTED_DIVISOR, HarmoniseRules

EMPTY: Final = "empty cell"
FEW_GENES: Final = "cell of few genes"


@dataclass(frozen=True)
class HarmonisedBlock:
    """Cells of one block, all of them, in the order of the file."""

    expression: Csr
    """``(cells, genes of the vocabulary)`` float32, sorted, without zeros; rows of cells that are
    left out are there too."""
    genes: npt.NDArray[np.int64]
    """Genes of the vocabulary above zero, for each cell."""
    totals: Floats
    """Sum of a cell's counts over all genes of the data; of ``expm1`` for log1p values."""
    matched: Floats
    """The same over genes of the vocabulary."""
    empty: npt.NDArray[np.bool_]
    """Cells without any count."""
    rescaled: npt.NDArray[np.bool_]
    """Cells scaled up to the maximum."""
    clipped: npt.NDArray[np.bool_]
    """Cells with values clipped to the maximum."""


def harmonise_block(
    rows: Rows,
    normalisation: Normalisation,
    match: GeneMatch,
    rules: HarmoniseRules,
    *,
    to_target: bool = False,
) -> HarmonisedBlock:
    """Values of a block of cells.

    The arithmetic is that of :func:`sclong_core.expression.normalise`, so that a model sees the
    same values in training and when it embeds: exact sums of counts, float64 throughout, rounded
    once. Columns of one gene are added as counts: for log1p values the logarithm is undone, which
    leaves counts in the unit of their cell, and taken again.

    Args:
        rows: cells by genes of the data, checked values.
        normalisation: what they are.
        match: where the genes are in the vocabulary.
        rules: what to do with them.
        to_target: bring log1p values, whose cells hold all their genes, to ``rules.target_sum``.
    """
    values = canonical(rows)
    empty = np.diff(values.indptr) == 0
    if normalisation == "raw":
        counts, totals = exact_counts(values)
        known = matched_rows(counts, match)
        matched = _row_sums(known)
        known.data = _logarithm(known, totals, rules)
    else:
        totals = _row_sums(values, unlogged=True)
        known = matched_logs(values, match)
        matched = _row_sums(known, unlogged=True)
        if to_target:
            scale = rules.target_sum / np.maximum(totals, np.finfo(np.float64).tiny)
            known.data = np.log1p(np.expm1(known.data) * scale[row_index(known)])
    largest = row_maxima(known)
    rescaled = clipped = np.zeros(largest.size, dtype=bool)
    if rules.maximum is not None:
        rescaled = (largest > 0) & (largest < rules.maximum)
        clipped = largest > rules.maximum
        known.data = to_maximum(known, rules.maximum)
    known.data = known.data.astype(np.float32)
    known.eliminate_zeros()  # what float32 cannot hold
    genes = np.diff(known.indptr).astype(np.int64)
    return HarmonisedBlock(known, genes, totals, matched, empty, rescaled, clipped)


def _logarithm(counts: Csr, totals: Floats, rules: HarmoniseRules) -> Floats:
    """log1p of counts in one of its two forms."""
    if rules.log1p == "printed":
        return np.asarray(np.log1p(counts.data / PRINTED_DIVISOR))
    return np.asarray(np.log1p(counts.data / totals[row_index(counts)] * rules.target_sum))


def _row_sums(values: Csr, *, unlogged: bool = False) -> Floats:
    """Sum of each row; of whole numbers exact."""
    data = np.expm1(np.minimum(values.data, 700.0)) if unlogged else values.data
    rows = row_index(values)
    return np.bincount(rows, weights=data, minlength=values.shape[0]).astype(np.float64)
