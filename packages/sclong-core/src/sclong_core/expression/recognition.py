"""Telling raw counts, log1p of scaled counts, and everything else apart by their values."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sclong_core.expression.discrete import WholeCells
from sclong_core.expression.gene_scaling import negative_values, weighted_genes
from sclong_core.expression.rows import Csr, Rows, canonical, filled
from sclong_core.expression.sums import SAME, CellSums, is_common, row_sums, spread
from sclong_core.expression.units import LOG1P, Fit, Transform

Normalisation: TypeAlias = Literal["raw", "log1p"]
"""Raw counts, or log1p of counts scaled to a common sum a cell."""

_SAMPLE_CELLS = 64
_HOPELESS_CELLS = 512
_LN2, _LN10 = float(np.log(2)), float(np.log(10))
_LOWEST_LOG = 1.0
"""A cell's highest log1p value lies above 1 whatever it was scaled to, as low as 100 counts."""
_RANKED = 20
_MOST_RANKED = 0.9
_FEW_SUMS = 5
_JUDGED = 1_000
_MOST_JUDGED = 0.9
_MOSTLY_UNFIT = 0.9
_NONE = Transform(lambda x: x, np.ones_like, 1e9)
_OTHER = {
    "scaled counts without the logarithm: apply log1p (sc.pp.log1p)": _NONE,
    "log2(1 + x) of scaled counts: multiply by 0.693147 for the natural logarithm": Transform(
        lambda x: np.expm1(x * _LN2), lambda x: _LN2 * np.exp2(x), 40.0
    ),
    "log10(1 + x) of scaled counts: multiply by 2.302585 for the natural logarithm": Transform(
        lambda x: np.expm1(x * _LN10), lambda x: _LN10 * 10.0**x, 12.0
    ),
    "log1p applied twice: undo one with np.expm1": Transform(
        lambda x: np.expm1(np.expm1(x)), lambda x: np.exp(np.expm1(x) + x), 3.4
    ),
    "square roots of scaled counts: square them and apply log1p": Transform(
        np.square, lambda x: 2 * x, 1e4
    ),
    "the inverse hyperbolic sine of scaled counts: undo it with np.sinh and apply log1p": Transform(
        np.sinh, np.cosh, 20.0
    ),
}


@dataclass(frozen=True)
class Recognition:
    """What the values of a matrix are."""

    normalisation: Normalisation | None
    """None where it is neither, or cannot be told."""
    seen: str
    """What was seen, in words that follow the name of the matrix."""
    other: str | None = None
    """Which other scale the values have, and what makes counts or log1p of it, where that is told;
    ``seen`` says it too."""


def recognise(rows: Rows, *, logged: bool = False) -> Recognition:
    """Recognise the normalisation of some cells by their values.

    Raw: whole numbers. log1p: ``expm1`` of each cell gives multiples of one unit; see
    :mod:`sclong_core.expression.units`.

    Args:
        rows: cells by genes, dense or sparse, of any number type.
        logged: the file says that they are log1p; believed where values neither show nor
            contradict it.
    """
    values = canonical(rows)
    if not np.isfinite(values.data).all():
        return Recognition(None, "holds NaN or infinite values")
    if values.nnz and values.data.min() < 0:
        words = f"holds negative values, down to {values.data.min():.4g}"
        return Recognition(None, f"{words}, as {negative_values(values)}")
    evidence = Evidence()
    evidence.add(values, [str(number) for number in range(values.shape[0])])
    return evidence.decide(logged=logged)


def whole_rows(rows: Csr) -> npt.NDArray[np.bool_]:
    """Which rows hold whole numbers only, up to the error of float32 sums."""
    whole = np.ones(rows.shape[0], dtype=bool)
    kept, starts = filled(rows)
    if kept.size:
        nearest = np.rint(rows.data)
        if rows.data.min() >= 1 and np.array_equal(nearest, rows.data):
            return whole  # counts as they should be: nothing to allow for
        allowed = np.minimum(1e-5 + 1e-6 * rows.data, 0.05)
        exact = (np.abs(rows.data - nearest) <= allowed) & (nearest >= 1)
        whole[kept] = np.logical_and.reduceat(exact, starts)
    return whole


@dataclass
class _Group:
    """Cells of one kind: how many, and the first one."""

    cells: int = 0
    first: str = ""

    def add(self, chosen: npt.NDArray[np.bool_], names: Sequence[str]) -> None:
        if not self.cells and chosen.any():
            self.first = names[int(np.argmax(chosen))]
        self.cells += int(chosen.sum())

    def __str__(self) -> str:
        if self.cells == 1:
            return f"cell {self.first!r}"
        return f"{self.cells:,} cells (the first is {self.first!r})"


@dataclass
class Evidence:
    """What the values of many cells say of their normalisation, block by block."""

    whole: _Group = field(default_factory=_Group)
    """Cells of whole numbers, several different ones, which no logarithm gives by chance."""
    fractional: _Group = field(default_factory=_Group)
    unfit: _Group = field(default_factory=_Group)
    """Fractional cells that are not log1p of scaled counts."""
    log1p: Fit = field(default_factory=lambda: Fit(LOG1P))
    lowest: float = np.inf
    highest: float = 0.0
    sums: CellSums = field(default_factory=CellSums)
    """What fractional cells sum to."""
    _whole_cells: WholeCells = field(default_factory=WholeCells)
    _ranked: int = 0
    _rankable: int = 0
    _unscaled: bool = True
    _sample: list[Csr] = field(default_factory=list)
    _sampled: int = 0
    _first: list[Csr] = field(default_factory=list)
    _taken: int = 0

    def add(self, rows: Csr, names: Sequence[str]) -> None:
        """Look at more cells: canonical rows without negative values, and their names."""
        kept, starts = filled(rows)
        if not kept.size:
            return
        whole = whole_rows(rows)
        several = np.zeros(rows.shape[0], dtype=bool)
        several[kept] = np.minimum.reduceat(rows.data, starts) < np.maximum.reduceat(
            rows.data, starts
        )
        self.lowest = min(self.lowest, float(rows.data.min()))
        self.highest = max(self.highest, float(rows.data.max()))
        self.whole.add(whole & several, names)
        self.fractional.add(~whole, names)
        if self._rankable < _SAMPLE_CELLS:
            self._look_for_ranks(rows[whole][:_SAMPLE_CELLS])
        self._whole_cells.add(rows[whole])
        if whole.all():
            return
        fractional = rows[~whole]
        unfit = np.zeros(rows.shape[0], dtype=bool)
        unfit[~whole], telling = self.log1p.add(fractional)
        self.unfit.add(unfit, names)
        self._sum(fractional)
        if self._taken < _SAMPLE_CELLS:
            self._first.append(fractional[:_SAMPLE_CELLS])
            self._taken += fractional.shape[0]
        if self._sampled < _SAMPLE_CELLS:
            self._sample.append(fractional[telling][:_SAMPLE_CELLS])
            self._sampled += int(telling.sum())

    def _look_for_ranks(self, rows: Csr) -> None:
        """Count cells whose whole values are all different, and as high as there are genes."""
        for start, stop in itertools.pairwise(rows.indptr):
            values = rows.data[start:stop]
            if values.size >= _RANKED:
                self._rankable += 1
                different = np.unique(values).size == values.size
                self._ranked += different and values.max() <= rows.shape[1]

    def _sum(self, rows: Csr) -> None:
        """Note what the cells sum to, and whether ``expm1`` gives whole numbers."""
        self.sums.add(rows)
        if rows.data.max() > LOG1P.largest:
            return
        counts = np.expm1(rows.data)
        error = np.exp(rows.data) * 1e-6 * np.maximum(rows.data, 1)
        self._unscaled &= bool((np.abs(counts - np.rint(counts)) <= error).all())

    @property
    def hopeless(self) -> bool:
        """More cells cannot make this raw or log1p."""
        return (
            self.unfit.cells >= _HOPELESS_CELLS
            and self.log1p.contradicted
            and self.sums.logged_to() is None
        )

    def target_sum(self) -> tuple[float, bool] | None:
        """Median sum of logged cells, and whether several all have it, within 1 %."""
        sums = self.sums.unlogged
        if not sums.size:
            return None
        middle = float(np.median(sums))
        return middle, sums.size > 1 and bool((np.abs(sums - middle) <= 0.01 * middle).all())

    def decide(self, *, logged: bool = False) -> Recognition:
        """The verdict on all cells together.

        Args:
            logged: the file says that they are log1p, which counts where values do not tell.
        """
        if not self.fractional.cells:
            return self._whole()
        if self.log1p.found and self._linear():
            return self._too_small()
        if self.log1p.found:
            return self._logged("expm1 of each cell gives multiples of one unit")
        other = self._other()
        common = self.sums.logged_to()
        if other is None and common is not None:
            return self._logged(f"expm1 of each cell sums to {common:,.6g}")
        if other is None and self.unfit.cells > _MOSTLY_UNFIT * self.fractional.cells:
            other = weighted_genes(sparse.vstack(self._first, format="csr"))
        if logged and other is None and not self.log1p.contradicted:
            return self._noted()
        note = 'although uns["log1p"] records a logarithm, it ' if logged else ""
        return Recognition(None, note + self._unknown(other), other)

    def _noted(self) -> Recognition:
        """What only the note says, if values can be that."""
        if self.highest < _LOWEST_LOG:
            return self._too_small()
        if self.highest < LOG1P.largest:
            return self._logged('uns["log1p"] says so, and no value contradicts it')
        return Recognition(None, self._unknown(None))

    def _whole(self) -> Recognition:
        """Counts, unless the whole numbers are something else."""
        if self._ranked > _MOST_RANKED * max(self._rankable, 1):
            return Recognition(
                None, "holds whole numbers that are all different within a cell, as ranks are"
            )
        other = self._whole_cells.other_than_counts()
        if other is not None:
            return Recognition(None, f"holds {other}")
        return Recognition("raw", f"holds whole numbers, up to {self.highest:,.0f}")

    def _too_small(self) -> Recognition:
        return Recognition(
            None,
            (
                f"holds values up to {self.highest:.4g}, too small to distinguish scaled "
                "counts from their log1p"
            ),
        )

    def _logged(self, why: str) -> Recognition:
        """log1p, if all cells are and they had been scaled."""
        if self.whole.cells:
            return Recognition(
                None, f"mixes raw counts in {self.whole} with log1p values in {self.fractional}"
            )
        sums = self.target_sum()
        if self._unscaled and self.fractional.cells > 1 and sums is not None and not sums[1]:
            return Recognition(
                None,
                "looks like log1p of counts that were not scaled to a common sum: "
                "undo it with np.expm1",
            )
        return Recognition("log1p", f"holds log1p values up to {self.highest:.2f}: {why}")

    def _unknown(self, other: str | None) -> str:
        """What was seen instead of raw counts or log1p values."""
        if other is not None:
            return f"looks like {other}"
        span = f"values from {self.lowest:.4g} to {self.highest:.4g}"
        if self.whole.cells:
            return f"holds whole numbers in {self.whole}, but fractions in {self.fractional}"
        if self.lowest == self.highest:
            return f"holds a single value other than 0: {self.lowest:.4g}"
        if not self.log1p.contradicted:
            return f"holds {span}, too few or too coarse to be recognised"
        words = f"holds {span} that are neither counts nor log1p of scaled counts in {self.unfit}"
        if self.highest > LOG1P.largest:
            words += (
                " (fractional counts, such as those from ambient correction or read "
                "assignment, are treated as raw on request)"
            )
        return words

    def _other(self) -> str | None:
        """Another transform that the first telling cells fit, or that gives them one sum."""
        for words, transform in _OTHER.items():
            if self._sample_fit(transform).found:
                return words
        if self.whole.cells or self.lowest == self.highest:
            return None
        sample = sparse.vstack(self._first, format="csr")
        summed = self._summed(sample) if sample.shape[0] >= _FEW_SUMS else None
        if summed is None and _are_multiples(sample):
            return f"counts times {sample.data.min():.4g}: divide by it"
        return summed

    def _summed(self, sample: Csr) -> str | None:
        """Another transform that gives cells one sum, more closely than log1p would."""
        plain = row_sums(sample, _NONE.inverse)
        if is_common(plain) and is_common(row_sums(sample, np.square)):
            return "ranks or quantiles: every cell holds the same values, not its own"
        if is_common(self.sums.plain):
            return (
                "frequencies or scaled values without the logarithm (each cell sums to "
                f"{np.median(plain):,.4g}; CPM, TPM or scVI's normalized expression)"
            )
        spreads = {
            words: spread(row_sums(sample, transform.inverse))
            for words, transform in (("", LOG1P), *_OTHER.items())
            if sample.data.max() <= transform.largest
        }
        closest = min(spreads, key=spreads.__getitem__, default="")
        if not closest or spreads[closest] > SAME:
            return None
        lengths = row_sums(sample, np.square)
        if _OTHER[closest].inverse is np.square and abs(float(np.median(lengths)) - 1) <= SAME:
            return "cells scaled to length 1 (L2 normalisation), or square roots of frequencies"
        return closest

    def _linear(self) -> bool:
        """Whether the values are multiples as they are, as small values are with any transform."""
        return not self._sample_fit(_NONE).contradicted

    def _sample_fit(self, transform: Transform) -> Fit:
        fit = Fit(transform)
        fit.add(sparse.vstack(self._sample, format="csr"))
        return fit


def _are_multiples(rows: Csr) -> bool:
    """Whether nearly all values are small whole multiples of the smallest, several different ones.

    Of large multiples nothing can be told: rounding makes any value one.
    """
    ratios = rows.data / rows.data.min()
    judged = ratios[ratios <= _JUDGED]
    nearest = np.rint(judged)
    fits = np.abs(judged - nearest) <= 1e-3 + 1e-5 * judged
    different = np.unique(nearest).size > 2  # two may fit by chance
    return different and judged.size >= _MOST_JUDGED * ratios.size and bool(fits.all())
