"""What predicted expression is worth, as pure functions of means over cells.

Shapes: g genes, k chosen genes, c cells, p perturbations.

As published, all metrics rest on means over the cells of a condition, and on changes against the
mean of all control cells. The paper's Methods print another way, over single cells: see
:func:`printed_pearson`. Metrics whose reference is the mean perturbed cell, as in Systema, say
whether perturbations are distinguished: against the control, what knows what perturbations have in
common looks good.
"""

import numpy as np
import numpy.typing as npt

from sclong_tasks.metrics.correlation import is_constant, pearson

Floats = npt.NDArray[np.float64]
Genes = npt.NDArray[np.int64]
ROUNDING = 1e-10
"""Changes that are smaller than this times the reference are none: they are left by rounding."""


def mean_squared_error(truth_g: Floats, predicted_g: Floats, genes_k: Genes) -> float:
    """Over chosen genes; NaN without any."""
    if not len(genes_k):
        return float("nan")
    return float(np.mean((predicted_g[genes_k] - truth_g[genes_k]) ** 2))


def pearson_of_change(
    truth_g: Floats, predicted_g: Floats, reference_g: Floats, genes_k: Genes, *, lenient: bool
) -> float:
    """Pearson's r of predicted and true change against a reference, over chosen genes.

    Args:
        truth_g: mean of the condition's cells.
        predicted_g: of the same.
        reference_g: mean of control cells as published, or of perturbed cells as in Systema.
        genes_k: over which.
        lenient: whatever is not defined is 0, as published. Else a predicted change that is the
            same in all genes is worth 0, and a true one is NaN.
    """
    if len(genes_k) < 2:
        return 0.0 if lenient else float("nan")
    reference_k = reference_g[genes_k]
    true_k, predicted_k = truth_g[genes_k] - reference_k, predicted_g[genes_k] - reference_k
    flat = [_is_flat(change_k, reference_k) for change_k in (true_k, predicted_k)]
    if any(flat):
        return float("nan") if flat[0] and not lenient else 0.0
    return pearson(true_k, predicted_k)


def _is_flat(change_k: Floats, reference_k: Floats) -> bool:
    """Whether a change is the same in all genes, up to the rounding of the difference."""
    spread = np.linalg.norm(change_k - change_k.mean())
    return bool(spread <= ROUNDING * np.linalg.norm(reference_k)) or is_constant(change_k)


def wrong_directions(
    truth_g: Floats, predicted_g: Floats, control_g: Floats, genes_k: Genes
) -> float:
    """Share of chosen genes predicted to go up where they go down, or the reverse; NaN without any.

    No change, predicted or true, is not a wrong direction, as in GEARS.
    """
    if not len(genes_k):
        return float("nan")
    true_k = np.sign(truth_g[genes_k] - control_g[genes_k])
    predicted_k = np.sign(predicted_g[genes_k] - control_g[genes_k])
    return float(np.mean(true_k * predicted_k < 0))


def centroid_accuracy(truth_pg: Floats, predicted_pg: Floats) -> Floats:
    """``(p,)`` share of the other perturbations whose true mean is farther than the own one.

    By Euclidean distance, ties counted half; 0.5 is chance. NaN where there is no other.
    """
    count = len(truth_pg)
    if count < 2:
        return np.full(count, np.nan)
    squares_pp = (
        (predicted_pg**2).sum(1)[:, None]
        + (truth_pg**2).sum(1)[None]
        - 2 * predicted_pg @ truth_pg.T
    )
    own_p = np.diag(squares_pp)[:, None]
    wins_pp = (own_p < squares_pp) + 0.5 * (own_p == squares_pp)
    found: Floats = (wins_pp.sum(1) - 0.5) / (count - 1)
    return found


def most_variable(cells_cg: Floats, count: int) -> Genes:
    """Genes that vary most among cells: what the Methods print in place of ranked genes."""
    return np.argsort(-cells_cg.var(axis=0), kind="stable")[:count].astype(np.int64)


def printed_mse(truth_cg: Floats, predicted_cg: Floats, genes_k: Genes) -> float:
    """Squared error of single cells, as the Methods print it: mean over genes, then over cells."""
    return float(np.mean((predicted_cg[:, genes_k] - truth_cg[:, genes_k]) ** 2))


def printed_pearson(
    truth_cg: Floats, predicted_cg: Floats, paired_cg: Floats, genes_k: Genes
) -> float:
    """Pearson's r in each cell, as the Methods print it, mean over cells where it is defined.

    Args:
        truth_cg: perturbed cells.
        predicted_cg: of the same.
        paired_cg: the control cell that each was predicted from.
        genes_k: over which.

    Returns:
        NaN where no cell has one, as for a prediction of no change.
    """
    changes = zip(
        (truth_cg - paired_cg)[:, genes_k], (predicted_cg - paired_cg)[:, genes_k], strict=True
    )
    values = np.array([pearson(true_k, predicted_k) for true_k, predicted_k in changes])
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")
