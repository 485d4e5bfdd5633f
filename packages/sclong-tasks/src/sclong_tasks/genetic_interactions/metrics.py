"""Measures of an interaction, and what predicted ones are worth: pure functions.

Shapes: g genes, p pairs, n samples.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import TheilSenRegressor

from sclong_tasks.metrics.correlation import pearson

Floats = npt.NDArray[np.float64]
MEASURES = (
    "magnitude", "model_fit", "similarity", "similarity_singles", "equal_contribution", "dominance",
)  # fmt: skip
_SMALLEST = 1e-6
"""Coefficients below it count as this much where their ratio is taken."""
_DECIMALS = 9
"""Scores that agree so far are ties: what is behind is rounding."""
_SEED = 1000
"""Of Theil-Sen's draws, as in Norman et al. and GEARS."""


@dataclass(frozen=True)
class LinearFit:
    """The effect of a pair as a sum of the effects of its genes."""

    first: float
    second: float
    fitted_g: Floats

    @property
    def magnitude(self) -> float:
        """Length of the coefficients: sqrt 2 where effects add up."""
        return float(np.hypot(self.first, self.second))

    @property
    def dominance(self) -> float:
        """How many times one coefficient exceeds the other, log10."""
        sizes = np.maximum(np.abs([self.first, self.second]), _SMALLEST)
        return float(abs(np.log10(sizes[0] / sizes[1])))


def fit_pair(
    singles_gk: Floats, pair_g: Floats, *, method: str, intercept: bool, draws: int = 100_000
) -> LinearFit:
    """Fit ``pair = a first + b second (+ c)`` over genes.

    Args:
        singles_gk: effects of the two genes alone, ``(g, 2)``.
        pair_g: effect of the pair.
        method: "least_squares" (the shortest solution where the two are collinear) or "theil_sen"
            (:class:`sklearn.linear_model.TheilSenRegressor`).
        intercept: whether there is ``c``.
        draws: pairs of genes that Theil-Sen takes at most.
    """
    if method == "least_squares":
        columns = [singles_gk, np.ones((len(pair_g), 1))] if intercept else [singles_gk]
        design = np.concatenate(columns, axis=1)
        found = np.linalg.lstsq(design, pair_g, rcond=None)[0]
        return LinearFit(float(found[0]), float(found[1]), design @ found)
    model = TheilSenRegressor(
        fit_intercept=intercept, max_subpopulation=draws, max_iter=1000, random_state=_SEED
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its last step is as good as any
        model.fit(singles_gk, pair_g)
    first, second = (float(one) for one in model.coef_)
    return LinearFit(first, second, np.asarray(model.predict(singles_gk)))


def distance_correlation(x_nk: Floats, y_nk: Floats) -> float:
    """Distance correlation of Székely et al. (2007); 0 where one of the two never varies.

    As :func:`statsmodels.stats.dist_dependence_measures.distance_correlation`.
    """
    return _correlation_of(_centred_distances(x_nk), _centred_distances(y_nk))


def _centred_distances(values_nk: Floats) -> Floats:
    distance = cdist(values_nk, values_nk)
    by_row = distance.mean(0)
    centred: Floats = distance - by_row[:, None] - by_row[None, :] + by_row.mean()
    return centred


def _correlation_of(a_nn: Floats, b_nn: Floats) -> float:
    spread = float(np.vdot(a_nn, a_nn)) * float(np.vdot(b_nn, b_nn))
    if spread <= 0:
        return 0.0
    return float(np.sqrt(max(float(np.vdot(a_nn, b_nn)), 0.0) / np.sqrt(spread)))


def measures_of(singles_gk: Floats, pair_g: Floats, fit: LinearFit) -> dict[str, float]:
    """All measures of a pair, by the names in :data:`MEASURES`.

    ``similarity`` of the pair to its genes, ``similarity_singles`` of the genes to each other, and
    ``equal_contribution`` are distance correlations; ``model_fit`` is the correlation of the fitted
    and the true effect, 0 where it is not defined. GEARS calls them dcor, dcor_singles, eq_contr
    and corr_fit, and the magnitude mag.
    """
    pair = _centred_distances(pair_g[:, None])
    first, second = (_centred_distances(singles_gk[:, [one]]) for one in (0, 1))
    each = [_correlation_of(one, pair) for one in (first, second)]
    fitted = pearson(pair_g, fit.fitted_g)
    return {
        "magnitude": fit.magnitude,
        "model_fit": 0.0 if np.isnan(fitted) else fitted,
        "similarity": _correlation_of(_centred_distances(singles_gk), pair),
        "similarity_singles": _correlation_of(first, second),
        "equal_contribution": min(each) / max(each) if max(each) > 0 else 0.0,
        "dominance": fit.dominance,
    }


def top_share(scores_p: npt.ArrayLike, top: int) -> Floats:
    """How much each pair is among the ``top`` highest: 1, 0, or its share where ties share a place.

    Their sum is ``top``, whatever the order of the pairs.
    """
    scores = np.round(np.asarray(scores_p, dtype=np.float64), _DECIMALS)
    if top >= len(scores):
        return np.ones(len(scores))
    edge = np.sort(scores)[::-1][top - 1]
    above, tied = scores > edge, scores == edge
    share = (top - int(above.sum())) / int(tied.sum())
    found: Floats = above + tied * share
    return found


@dataclass(frozen=True)
class Overlap:
    """Pairs that are among the highest of two rankings."""

    shared: float
    """How many, expected where ties are broken by chance."""
    by_chance: float
    """Of unrelated rankings."""
    p_value: float
    """Share of permutations that share as many."""


def overlap(
    truth_p: npt.ArrayLike, predicted_p: npt.ArrayLike, top: int, *, permutations: int, seed: int
) -> Overlap:
    """Overlap of the highest pairs; NaN where there are fewer than twice as many pairs.

    Without ties, permutations follow the hypergeometric distribution.
    """
    truth, predicted = top_share(truth_p, top), top_share(predicted_p, top)
    if len(truth) < 2 * top:
        return Overlap(float("nan"), float("nan"), float("nan"))
    shared = float(truth @ predicted)
    generator = np.random.default_rng(seed)
    shuffled = generator.permuted(np.tile(predicted, (permutations, 1)), axis=1) @ truth
    reached = int((shuffled >= shared - 1e-9).sum())
    return Overlap(shared, top * top / len(truth), (1 + reached) / (1 + permutations))
