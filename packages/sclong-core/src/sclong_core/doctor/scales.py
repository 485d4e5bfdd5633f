"""Which scale of its input the weights of a model were trained on.

A model that was trained to reconstruct hidden values answers on the scale that it was trained on.
So the same cells are given to it on each scale in turn with a share of their values hidden, and the
scale is told by how much of the spread of the hidden values the answers explain (R2). On a wrong
scale the answers lie beside the values, and explain less than nothing.

Shapes: b cells, g genes of the vocabulary, k genes that are asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from sclong_core.config import InputConfig
from sclong_core.expression import PreparedCells
from sclong_core.expression.normalisation import to_maximum
from sclong_core.expression.rows import Csr, canonical
from sclong_core.model import ScLong
from sclong_core.pretraining.masking import MaskingConfig, choose_values

Doubles = npt.NDArray[np.float64]
_SUM = 10_000.0
_DRAWS = 1_000
_MOST_HIDDEN = 200
"""Of a cell: a model with a context answers for each by itself."""
_LEAST = 0.95
CONVINCING = 0.35
"""R2 that another scale than the checkpoint's must reach, unless no third one explains anything:
cells unlike those of the training may be explained a little on several scales, and not at all on
the right one."""
_CANDIDATES = 8
"""Times as many cells as are used, of which the deepest are taken."""
_SAME = 0.01
_TINY = 1e-12
_MASKING = MaskingConfig().for_validation()


@dataclass(frozen=True)
class InputScale:
    """A scale that a model may have been trained on."""

    name: str
    input: InputConfig | None
    """The setting of a checkpoint that makes it; None where there is none."""
    total: float
    """What the counts of a cell sum to; 0 for counts as they are."""
    transform: Callable[[Doubles], Doubles] = np.log1p

    def values(self, counts: Csr, totals: Doubles) -> Csr:
        """``(b, g)`` cells on this scale.

        Args:
            counts: ``(b, g)`` of the genes of the vocabulary, in any unit.
            totals: ``(b,)`` of all genes of a cell, in counts; ``counts`` sum to 1 over them.
        """
        found = counts.copy()
        factor = np.full(len(totals), self.total) if self.total else totals
        found.data = self.transform(found.data * np.repeat(factor, np.diff(found.indptr)))
        if self.input is not None and self.input.maximum is not None:
            found.data = to_maximum(found, self.input.maximum)
        return found


def known_scales(own: InputConfig) -> list[InputScale]:
    """The checkpoint's own scale, and others that are in use."""
    made = [own] + [
        InputConfig(total, maximum) for total in (1e4, 1e6, 1e3, 1e5) for maximum in (None, 10.0)
    ]
    scales = [InputScale(describe_input(one), one, one.target_sum) for one in dict.fromkeys(made)]
    return [
        *scales,
        InputScale("log2(1 + x) of counts scaled to 10,000", None, 1e4, lambda x: np.log2(1 + x)),
        InputScale("log2(1 + x) of CPM", None, 1e6, lambda x: np.log2(1 + x)),
        InputScale("log1p of counts that are not scaled", None, 0.0),
        InputScale("counts as they are", None, 0.0, np.array),
        InputScale("counts scaled to 10,000, without a logarithm", None, 1e4, np.array),
        InputScale("CPM, without a logarithm", None, 1e6, np.array),
    ]


def describe_input(config: InputConfig) -> str:
    """A setting in words."""
    cpm = " (CPM)" if config.target_sum == 1e6 else ""
    words = f"log1p of counts scaled to {config.target_sum:,.6g}{cpm}"
    return words if config.maximum is None else f"{words}, then to a maximum of {config.maximum:g}"


@dataclass(frozen=True)
class ScaleScore:
    """How well hidden values of real cells are reconstructed on a scale."""

    scale: InputScale
    r2: float
    """Share of the spread of the hidden values that is explained; below 0 is worse than a mean."""
    low: float
    """Lower end of its 95 % interval, over cells."""
    high: float
    """Upper end."""
    best: float
    """Share of draws of the cells in which no other scale is better."""


@dataclass(frozen=True)
class Sample:
    """Some cells as parts of their counts."""

    counts: Csr
    """``(b, g)`` shares of a cell's counts on the genes of the vocabulary."""
    totals: Doubles
    """``(b,)`` counts of each cell; 1e4 where they are not known."""
    measured_g: npt.NDArray[np.bool_]
    has_totals: bool
    """Totals are known: the cells are raw counts."""

    @property
    def depths(self) -> Doubles:
        """``(b,)`` counts of each cell; of log1p values by their smallest, which is one count."""
        if self.has_totals:
            return self.totals
        bounds = zip(self.counts.indptr, self.counts.indptr[1:], strict=False)
        smallest = [self.counts.data[start:stop].min(initial=np.inf) for start, stop in bounds]
        return np.asarray(1 / np.array(smallest, dtype=np.float64))

    def deepest(self, number: int) -> "Sample":
        """The cells of most counts, in their order."""
        rows = np.sort(np.argsort(-self.depths, kind="stable")[:number])
        return replace(self, counts=self.counts[rows], totals=self.totals[rows])


def sample_cells(cells: PreparedCells, number: int) -> Sample:
    """Cells evenly over the file.

    log1p values are those of the sum that all cells have in common; where they have none, as when
    genes were left out after scaling, of 10,000, which is usual.
    """
    raw = cells.survey.normalisation == "raw"
    plain = replace(cells, input_config=InputConfig())
    rows = np.unique(np.linspace(0, len(cells) - 1, min(number, len(cells))).astype(np.int64))
    read = [canonical(cells.source.read_rows(row, row + 1)) for row in rows.tolist()]
    scaled = _SUM if raw else _common_sum([float(np.expm1(one.data).sum()) for one in read])
    counts = sparse.vstack(
        [sparse.csr_array(plain.block(row, row + 1).astype(np.float64)) for row in rows.tolist()],
        format="csr",
    )
    counts.data = np.expm1(counts.data) / scaled
    totals = [float(one.sum()) if raw else scaled for one in read]
    measured = np.zeros(cells.match.vocabulary_genes, dtype=bool)
    measured[cells.match.positions] = True
    return Sample(counts, np.array(totals), measured, raw)


def sample_deepest(cells: PreparedCells, number: int) -> Sample:
    """The deepest of eight times as many cells, evenly over the file.

    One count of a shallow cell is a larger value than one of a deep cell. Shallow cells therefore
    look like deeper ones on a smaller scale, and deep ones alone can contradict a checkpoint.
    """
    return sample_cells(cells, _CANDIDATES * number).deepest(number)


def _common_sum(sums: Sequence[float]) -> float:
    middle = float(np.median(sums))
    common = np.abs(np.array(sums) - middle) <= _SAME * middle
    return middle if common.all() else _SUM


def score_scales(
    model: ScLong,
    sample: Sample,
    scales: Sequence[InputScale],
    *,
    batch_size: int,
    advance: Callable[[int], None] = lambda _cells: None,
) -> list[ScaleScore]:
    """Every scale, the best first.

    Args:
        model: to ask.
        sample: of real cells.
        scales: to try.
        batch_size: cells at a time.
        advance: told the number of cells after each batch.
    """
    hidden = _hidden(sample.counts)
    usable = [one for one in scales if one.total or sample.has_totals]
    parts = []
    for scale in usable:
        values = scale.values(sample.counts, sample.totals)
        error, spread = np.zeros(len(sample.totals)), np.zeros(len(sample.totals))
        truth = values.data[hidden]
        middle = truth.mean()
        for start in range(0, len(sample.totals), batch_size):
            rows = slice(start, min(start + batch_size, len(sample.totals)))
            x = torch.from_numpy(values[rows].toarray().astype(np.float32))
            masked = np.zeros(x.shape, dtype=bool)
            where = _entries(sample.counts, hidden, rows)
            masked[where] = True
            found = reconstruct_hidden(model, x, torch.from_numpy(masked), sample.measured_g)
            error[rows] = _by_cell(np.square(found.numpy() - x.numpy()), masked)
            spread[rows] = _by_cell(np.square(x.numpy() - middle), masked)
            advance(len(x))
        parts.append((error, spread))
    return _ranked(usable, parts)


def _hidden(counts: Csr) -> npt.NDArray[np.bool_]:
    """Which stored values are hidden: those that training would hide in its validation."""
    hidden = np.zeros(counts.nnz, dtype=bool)
    for row, (start, stop) in enumerate(zip(counts.indptr, counts.indptr[1:], strict=False)):
        chosen, count = choose_values(
            int(stop - start), config=_MASKING, epoch=0, cell=row, validation=True
        )
        hidden[start + chosen[: min(count, _MOST_HIDDEN)]] = True
    return hidden


def _entries(
    counts: Csr, hidden: npt.NDArray[np.bool_], rows: slice
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    start, stop = counts.indptr[rows.start], counts.indptr[rows.stop]
    lengths = np.diff(counts.indptr[rows.start : rows.stop + 1])
    owner = np.repeat(np.arange(len(lengths)), lengths)
    chosen = hidden[start:stop]
    return owner[chosen], counts.indices[start:stop][chosen].astype(np.int64)


def _by_cell(values: npt.NDArray[np.float32], masked: npt.NDArray[np.bool_]) -> Doubles:
    return np.asarray(np.where(masked, values, 0).sum(1, dtype=np.float64))


def _ranked(
    scales: Sequence[InputScale], parts: Sequence[tuple[Doubles, Doubles]]
) -> list[ScaleScore]:
    cells = len(parts[0][0])
    drawn = np.random.default_rng(0).multinomial(cells, np.full(cells, 1 / cells), size=_DRAWS)
    draws = np.stack(
        [1 - (drawn @ error) / np.maximum(drawn @ spread, _TINY) for error, spread in parts]
    )
    best = np.bincount(draws.argmax(0), minlength=len(scales)) / _DRAWS
    scores = [
        ScaleScore(
            scale,
            float(1 - error.sum() / max(spread.sum(), _TINY)),
            float(np.quantile(draws[place], 0.025)),
            float(np.quantile(draws[place], 0.975)),
            float(best[place]),
        )
        for place, (scale, (error, spread)) in enumerate(zip(scales, parts, strict=True))
    ]
    return sorted(scores, key=lambda score: -score.r2)


def recognised(scores: Sequence[ScaleScore], own: InputConfig) -> InputScale | None:
    """The scale of the weights; None where they explain nothing, or several fit as well.

    A scale is in question unless another is better in 95 % of draws. The checkpoint's own setting
    is believed where it is in question, and a scale that a checkpoint can name before others.
    Another scale must explain :data:`CONVINCING`, or be the only one that explains anything.

    Args:
        scores: of :func:`score_scales`.
        own: setting of the checkpoint.
    """
    if scores[0].r2 <= 0:
        return None
    left = [score.scale for score in scores if score.best > 1 - _LEAST or score is scores[0]]
    if any(scale.input == own for scale in left):
        return next(scale for scale in left if scale.input == own)
    if scores[0].r2 < CONVINCING and any(score.r2 > 0 for score in scores[1:]):
        return None
    named = [scale for scale in left if scale.input is not None] or left
    return named[0] if len(named) == 1 else None


def reconstruct_hidden(
    model: ScLong, x_bg: Tensor, masked_bg: Tensor, measured_g: npt.NDArray[np.bool_]
) -> Tensor:
    """``(b, g)`` what a model answers for hidden values, as it was trained to; else anything."""
    x_bg, masked_bg = x_bg.to(model.device), masked_bg.to(model.device)
    with torch.inference_mode():
        if model.config.context is None:
            answer: Tensor = model(x_bg, masked_bg).reconstruction.float().cpu()
            return answer
        measured = torch.from_numpy(measured_g).to(model.device)
        asked = torch.topk(masked_bg.float(), int(masked_bg.sum(1).max()), dim=1).indices
        shown = measured & ~masked_bg
        found = model.read_context(
            x_bg.masked_fill(~shown, 0), shown, asked, hidden=torch.ones_like(asked).bool()
        )
        value = model.decoder(found.asked).squeeze(-1) + model.require_readout().gene_bias[0][asked]
        return torch.zeros_like(x_bg).scatter(1, asked, value.float()).cpu()
