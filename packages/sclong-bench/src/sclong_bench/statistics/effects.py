"""Effect sizes, each with an interval by resampling runs.

With five runs these intervals are wide and somewhat too short: they say how little five runs tell,
not more. A negative size means that the model's values are below the reference's.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sclong_bench.statistics.sample import Floats, Sample

_RESAMPLES = 2_000


@dataclass(frozen=True)
class Effect:
    """A size and its bootstrap interval."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class Effects:
    """The three sizes of one comparison."""

    cohens_d: Effect
    """Difference of means by the pooled standard deviation."""
    hedges_g: Effect
    """The same times 1 - 3 / (4 df - 1), which takes out its bias in small samples."""
    cliffs_delta: Effect
    """Share of pairs in which the model is above, minus the share in which it is below."""


def cohens_d(model: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Difference of means by the pooled standard deviation (ddof 1).

    Infinite where neither varies and they differ; NaN where they do not differ either.
    """
    x, y = _row(model), _row(reference)
    return float(_standardised(x, y)[0])


def hedges_g(model: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Cohen's d times the correction for small samples."""
    x, y = _row(model), _row(reference)
    return cohens_d(model, reference) * small_sample_factor(x.shape[1] + y.shape[1] - 2)


def cliffs_delta(model: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """P(model > reference) - P(model < reference) over all pairs of runs."""
    return float(_dominance(_row(model), _row(reference))[0])


def small_sample_factor(df: float) -> float:
    """Hedges's factor; NaN below two degrees of freedom, where it no longer corrects."""
    return 1 - 3 / (4 * df - 1) if df >= 2 else float("nan")


def effects(
    model: Sample, reference: Sample, *, confidence: float = 0.95, seed: int = 0
) -> Effects:
    """All sizes with percentile intervals; NaN where a value is not a number or there is one run.

    A deterministic model counts as a constant: the standard deviation is the other's alone.
    """
    if not _comparable(model, reference):
        nothing = Effect(float("nan"))
        return Effects(nothing, nothing, _only_dominance(model, reference))
    generator = np.random.default_rng(seed)
    x, y = _resampled(model, generator), _resampled(reference, generator)
    df = sum(sample.n - 1 for sample in (model, reference) if not sample.constant)
    d = _standardised(x, y)
    bounds = (1 - confidence) / 2
    return Effects(
        cohens_d=_effect(d, bounds),
        hedges_g=_effect(d * small_sample_factor(df), bounds),
        cliffs_delta=_effect(_dominance(x, y), bounds),
    )


def _comparable(model: Sample, reference: Sample) -> bool:
    """Whether there is a spread to measure the difference by."""
    samples = (model, reference)
    if not all(sample.finite for sample in samples) or all(sample.constant for sample in samples):
        return False
    return all(sample.constant or sample.n > 1 for sample in samples)


def _only_dominance(model: Sample, reference: Sample) -> Effect:
    if not (model.finite and reference.finite):
        return Effect(float("nan"))
    return Effect(cliffs_delta(model.values, reference.values))


def _resampled(sample: Sample, generator: np.random.Generator) -> Floats:
    """The sample in the first row, resamples below it; a constant is one value everywhere."""
    if sample.constant:
        return np.full((_RESAMPLES + 1, 1), sample.values[0])
    drawn = sample.values[generator.integers(sample.n, size=(_RESAMPLES, sample.n))]
    found: Floats = np.concatenate([sample.values[None], drawn])
    return found


def _row(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)[None]


def _standardised(x: Floats, y: Floats) -> Floats:
    difference = x.mean(axis=1) - y.mean(axis=1)
    squares = sum(
        ((values - values.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) for values in (x, y)
    )
    df = x.shape[1] + y.shape[1] - 2
    if df < 1:
        return np.full(len(x), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = difference / np.sqrt(squares / df)
    return found


def _dominance(x: Floats, y: Floats) -> Floats:
    found: Floats = np.sign(x[:, :, None] - y[:, None, :]).mean(axis=(1, 2))
    return found


def _effect(sizes: Floats, bounds: float) -> Effect:
    """The first is the size, the others its resamples. Infinite ones are kept: they are ordered."""
    drawn = sizes[1:]
    if np.isnan(sizes[0]):
        return Effect(float("nan"))
    kept = drawn[~np.isnan(drawn)]
    if not len(kept):
        return Effect(float(sizes[0]))
    low, high = np.quantile(kept, [bounds, 1 - bounds], method="inverted_cdf")
    return Effect(float(sizes[0]), float(low), float(high))
