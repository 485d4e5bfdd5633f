"""What models and simple methods are measured by, on cells that no model has seen.

Cells, masks and splits are the same for all models and seeds, so that seeds differ by training
alone. Intervals come from drawing cells anew.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch

from sclong_bench.evidence.cells import Floats, HeldOut
from sclong_bench.evidence.data import EvidenceData
from sclong_bench.evidence.measured import Measured
from sclong_bench.evidence.suite import EvaluationConfig, EvidenceSuite
from sclong_core.embedding.pooling import pool_cells
from sclong_core.model import ScLong
from sclong_core.pretraining.masking import MaskingConfig, draw_masks
from sclong_core.pretraining.metrics import baseline_predictions
from sclong_tasks.batch_integration.config import IntegrationSettings
from sclong_tasks.batch_integration.metrics import measure as measure_batches

RECONSTRUCTION, CELL_TYPES, BATCHES = "masked_reconstruction", "cell_types", "batch_mixing"
"""Tasks of the evidence."""
GENE_SUMS, GENE_MEANS = "gene_sums", "gene_means"
"""How genes become a cell: the paper's rule for batch integration, and the mean over genes."""
_CELLS_AT_ONCE = 20
_DRAWS = 500
_FEWEST = 5
"""Cells of a type; types with fewer are left out where neighbours vote."""

Predict = Callable[[Floats, npt.NDArray[np.bool_]], Floats]


def measure_model(
    model: ScLong, data: EvidenceData, suite: EvidenceSuite
) -> tuple[list[Measured], dict[str, Floats]]:
    """All numbers of one model, and the embeddings behind them by protocol and data set."""
    found: list[Measured] = []
    embedded: dict[str, Floats] = {}
    for cells in data.held_out:
        found += measure_reconstruction(
            lambda values, masked: reconstruct(model, values, masked), cells, suite
        )
        if cells.label.size:
            for protocol, points in embed(model, cells.expression).items():
                embedded[f"{protocol} {cells.name}"] = points
                found += measure_embedding(points, protocol, cells, suite.evaluation)
    return found, embedded


def simple_predictions(data: EvidenceData) -> dict[str, Predict]:
    """What averages over the cells of pretraining and the visible values of a cell predict."""
    expressed = (data.training > 0).sum(0)
    sums = data.training.sum(0, dtype=np.float64)
    overall = np.full_like(sums, sums.sum() / max(int(expressed.sum()), 1))
    means = np.divide(sums, expressed, out=overall, where=expressed > 0).astype(np.float32)

    def predict(name: str) -> Predict:
        def predicted(values: Floats, masked: npt.NDArray[np.bool_]) -> Floats:
            found = baseline_predictions(
                torch.from_numpy(values), torch.from_numpy(masked), torch.from_numpy(means)
            )
            result: Floats = getattr(found, name).numpy()
            return result

        return predicted

    names = {
        "gene_mean": "gene_mean",
        "gene_and_cell_mean": "gene_and_cell",
        "cell_mean": "cell_mean",
    }
    return {shown: predict(name) for shown, name in names.items()}


def simple_embeddings(cells: HeldOut, evaluation: EvaluationConfig) -> dict[str, Floats]:
    """The values themselves, principal components of these cells, and components shuffled."""
    from sklearn.decomposition import PCA  # noqa: PLC0415  # slow to import

    count = min(evaluation.components, *cells.expression.shape)
    components = PCA(count, svd_solver="full").fit_transform(cells.expression).astype(np.float32)
    order = np.random.default_rng(evaluation.seed).permutation(len(components))
    return {"raw": cells.expression, "pca": components, "permuted_embedding": components[order]}


def measure_simple(data: EvidenceData, suite: EvidenceSuite) -> dict[str, list[Measured]]:
    """All numbers of each simple method, by its name."""
    found: dict[str, list[Measured]] = {}
    for name, predict in simple_predictions(data).items():
        found[name] = [
            row for cells in data.held_out for row in measure_reconstruction(predict, cells, suite)
        ]
    for cells in data.held_out:
        if not cells.label.size:
            continue
        for name, points in simple_embeddings(cells, suite.evaluation).items():
            for protocol in (GENE_SUMS, GENE_MEANS):
                rows = measure_embedding(points, protocol, cells, suite.evaluation)
                found.setdefault(name, []).extend(rows)
    return found


def measure_reconstruction(
    predict: Predict, cells: HeldOut, suite: EvidenceSuite
) -> Iterator[Measured]:
    """How well hidden values are told from the visible ones: R2, Pearson's r, squared error."""
    count = min(suite.evaluation.masked_cells, len(cells.expression))
    expression = cells.expression[np.linspace(0, len(cells.expression) - 1, count).astype(int)]
    masked = hidden_values(expression, suite)
    predicted = predict(expression, masked)
    sums = np.stack(
        [_sums(p[m], y[m]) for p, y, m in zip(predicted, expression, masked, strict=True)]
    )
    drawn = np.random.default_rng(suite.evaluation.seed).integers(
        len(sums), size=(_DRAWS, len(sums))
    )
    everything = _regression(sums.sum(0))
    spread = _regression(sums[drawn].sum(1).T)
    for metric, value in everything.items():
        low, high = np.quantile(spread[metric], [0.025, 0.975])
        yield Measured(
            RECONSTRUCTION, "", cells.name, metric, float(value), int(masked.sum()), "value",
            float(low), float(high), metric != "mse",
        )  # fmt: skip


def hidden_values(expression: Floats, suite: EvidenceSuite) -> npt.NDArray[np.bool_]:
    """Which values are hidden: from the stream of validation, that no training draws from."""
    config = MaskingConfig(suite.training.masked, seed=suite.evaluation.seed).for_validation()
    rows = [
        draw_masks(row, config=config, epoch=0, cell=number, validation=True)[0]
        for number, row in enumerate(expression)
    ]
    return np.stack(rows)


def _sums(p: Floats, y: Floats) -> npt.NDArray[np.float64]:
    p64, y64 = p.astype(np.float64), y.astype(np.float64)
    products = (y64, y64 * y64, p64, p64 * p64, p64 * y64, (p64 - y64) ** 2)
    return np.array([y64.size, *(values.sum() for values in products)])


def _regression(sums: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """R2, r and error of sums ``(7,)`` or ``(7, draws)``; NaN where a side does not vary."""
    n, y, yy, p, pp, py, error = sums
    varies_y, varies_p = yy - y * y / n, pp - p * p / n
    product = varies_y * np.where(varies_p > 1e-9 * np.maximum(pp, 1e-12), varies_p, np.nan)
    return {
        "r2": 1 - error / varies_y,
        "pearson": (py - p * y / n) / np.sqrt(product),
        "mse": error / n,
    }


@torch.inference_mode()
def reconstruct(model: ScLong, expression: Floats, masked: npt.NDArray[np.bool_]) -> Floats:
    """``(cells, genes)``: what the model says of every value."""
    pairs = zip(
        torch.from_numpy(expression).split(_CELLS_AT_ONCE),
        torch.from_numpy(masked).split(_CELLS_AT_ONCE),
        strict=True,
    )
    found: Floats = torch.cat([model(x, hidden).reconstruction for x, hidden in pairs]).numpy()
    return found


@torch.inference_mode()
def embed(model: ScLong, expression: Floats) -> dict[str, Floats]:
    """``(cells, numbers)`` by each rule of how genes become a cell."""
    sums, means = [], []
    for x in torch.from_numpy(expression).split(_CELLS_AT_ONCE):
        output = model(x)
        sums.append(pool_cells(output, x, "gene_sums"))
        means.append(pool_cells(output, x, "mean"))
    return {GENE_SUMS: torch.cat(sums).numpy(), GENE_MEANS: torch.cat(means).numpy()}


def measure_embedding(
    points: Floats, protocol: str, cells: HeldOut, evaluation: EvaluationConfig
) -> Iterator[Measured]:
    """Whether neighbours are of one type, and whether batches mix."""
    for metric, (value, low, high, n) in neighbours_vote(points, cells.label, evaluation).items():
        yield Measured(CELL_TYPES, protocol, cells.name, metric, value, n, "cell", low, high)
    if not cells.batch.size:
        return
    settings = IntegrationSettings()
    for found in measure_batches(
        points.astype(np.float64), cells.batch, cells.label, seed=evaluation.seed, settings=settings
    ):
        yield Measured(
            BATCHES, protocol, cells.name, found.name, found.value, found.n, found.unit,
            found.low, found.high, found.higher_is_better,
        )  # fmt: skip


def neighbours_vote(
    points: Floats, label: npt.NDArray[np.str_], evaluation: EvaluationConfig
) -> Mapping[str, tuple[float, float, float, int]]:
    """How often the nearest neighbours tell a cell's type, and the mean of that over types.

    Every cell is asked about once: its fold of ``splits`` asks the cells of the others.
    """
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415  # slow to import
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415  # slow to import

    _, codes, counts = np.unique(label, return_inverse=True, return_counts=True)
    kept = counts[codes] >= max(_FEWEST, evaluation.splits)
    points, types = points[kept], codes[kept]
    folds = StratifiedKFold(evaluation.splits, shuffle=True, random_state=evaluation.seed)
    right = np.zeros(types.size)
    for known, asked in folds.split(points, types):
        voter = KNeighborsClassifier(evaluation.nearest).fit(points[known], types[known])
        right[asked] = voter.predict(points[asked]) == types[asked]
    drawn = np.random.default_rng(evaluation.seed).integers(types.size, size=(_DRAWS, types.size))
    found = {}
    for metric, statistic in (("accuracy", _share), ("balanced_accuracy", _share_by_type)):
        values = [statistic(right[rows], types[rows]) for rows in drawn]
        low, high = np.quantile(values, [0.025, 0.975])
        found[metric] = (statistic(right, types), float(low), float(high), int(types.size))
    return found


def _share(right: npt.NDArray[np.float64], types: npt.NDArray[np.int64]) -> float:
    del types
    return float(right.mean())


def _share_by_type(right: npt.NDArray[np.float64], types: npt.NDArray[np.int64]) -> float:
    counts = np.bincount(types)
    there = counts > 0
    return float((np.bincount(types, right)[there] / counts[there]).mean())
