"""What the pretrained model is measured by, each beside something simpler on the same cells."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from anndata import AnnData

from sclong_bench.demo.data import DemoData
from sclong_bench.demo.results import (
    CELL_MEAN,
    GENE_AND_CELL,
    GENE_MEAN,
    LARGEST_TYPE,
    SCLONG,
    Row,
)
from sclong_bench.demo.settings import DemoSettings
from sclong_core import ScLong
from sclong_core.pretraining.masking import MaskingConfig, draw_masks
from sclong_core.pretraining.metrics import MaskedRegression, baseline_predictions

Floats = npt.NDArray[np.float32]
_CELLS_AT_ONCE = 20


def reconstruction(model_folder: Path, data: DemoData, settings: DemoSettings) -> Iterator[Row]:
    """How well hidden values of held-out cells are told from the visible ones.

    All methods see the same values and are judged on the same hidden ones.

    Args:
        model_folder: the checkpoint.
        data: cells and their split.
        settings: share of hidden values, number of draws, seed.

    Yields:
        R2, Pearson correlation and mean squared error of each method, draw by draw.
    """
    model = ScLong.from_pretrained(model_folder, device="cpu")
    held_out = np.flatnonzero(~data.training)
    expression = torch.from_numpy(data.expression[held_out])
    means = torch.from_numpy(gene_means(data.expression[data.training]))
    for draw in range(settings.masks):
        masked = torch.from_numpy(held_out_masks(expression.numpy(), held_out, settings, draw))
        averages = baseline_predictions(expression, masked, means)
        predictions = {
            SCLONG: _reconstruct(model, expression, masked),
            GENE_AND_CELL: averages.gene_and_cell,
            GENE_MEAN: averages.gene_mean,
            CELL_MEAN: averages.cell_mean,
        }
        for method, predicted in predictions.items():
            metric = MaskedRegression()
            metric.update(predicted, expression, masked)
            found = metric.compute()
            yield Row("r2", method, draw, float(found.r2))
            yield Row("pearson", method, draw, float(found.pearson))
            yield Row("mse", method, draw, float(found.loss))


def held_out_masks(
    expression: Floats, numbers: npt.NDArray[np.int64], settings: DemoSettings, draw: int
) -> npt.NDArray[np.bool_]:
    """Which values are hidden in one draw: none of these masks was seen in training."""
    config = MaskingConfig(ratio=settings.masked, seed=settings.seed).for_validation()
    rows = [
        draw_masks(row, config=config, epoch=draw, cell=int(number), validation=True)[0]
        for row, number in zip(expression, numbers, strict=True)
    ]
    return np.stack(rows)


def gene_means(expression: Floats) -> Floats:
    """Mean non-zero value of each gene; of all genes for one that is never expressed."""
    expressed = (expression > 0).sum(axis=0)
    sums = expression.sum(axis=0, dtype=np.float64)
    overall = np.full_like(sums, sums.sum() / max(int(expressed.sum()), 1))
    means = np.divide(sums, expressed, out=overall, where=expressed > 0)
    return np.asarray(means, dtype=np.float32)


@torch.inference_mode()
def _reconstruct(model: ScLong, expression: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
    parts = [
        model(values, hidden).reconstruction
        for values, hidden in zip(
            expression.split(_CELLS_AT_ONCE), masked.split(_CELLS_AT_ONCE), strict=True
        )
    ]
    return torch.cat(parts)


def embed(model_folder: Path, cells: AnnData) -> Floats:
    """``(cells, dim)`` embedding by the checkpoint."""
    model = ScLong.from_pretrained(model_folder, device="cpu")
    return model.embed(cells, batch_size=_CELLS_AT_ONCE, normalisation="log1p")


def principal_components(expression: Floats, components: int) -> Floats:
    """``(cells, components)`` of log1p expression, fitted on the same cells."""
    from sklearn.decomposition import PCA as Decomposition  # noqa: PLC0415, N811  # slow to import

    found = Decomposition(components, svd_solver="full").fit_transform(expression)
    return np.asarray(found, dtype=np.float32)


def cell_type_accuracy(
    spaces: dict[str, Floats], cell_types: npt.NDArray[np.str_], settings: DemoSettings
) -> Iterator[Row]:
    """How often the nearest neighbours tell a cell's type, in each space.

    Every draw splits the cells into four fifths whose types are known and one fifth whose types
    are asked for; all spaces are judged on the same splits. Guessing the largest type is added.
    """
    from sklearn.model_selection import StratifiedShuffleSplit  # noqa: PLC0415  # slow to import
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415  # slow to import

    for draw in range(settings.splits):
        split = StratifiedShuffleSplit(1, test_size=0.2, random_state=settings.seed + draw)
        known, asked = next(split.split(cell_types, cell_types))
        for name, points in spaces.items():
            voter = KNeighborsClassifier(settings.nearest).fit(points[known], cell_types[known])
            told = voter.predict(points[asked])
            yield Row("accuracy", name, draw, float(np.mean(told == cell_types[asked])))
        names, counts = np.unique(cell_types[known], return_counts=True)
        guess = names[counts.argmax()]
        yield Row("accuracy", LARGEST_TYPE, draw, float(np.mean(cell_types[asked] == guess)))


def umap(points: Floats, settings: DemoSettings) -> Floats:
    """``(cells, 2)`` map, the same for the same points and seed."""
    import scanpy as sc  # noqa: PLC0415  # slow to import

    cells = AnnData(obsm={"X": points}, shape=(len(points), 0))
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about parallelism, which a seed excludes
        sc.pp.neighbors(
            cells, n_neighbors=settings.nearest, use_rep="X", random_state=settings.seed
        )
        sc.tl.umap(cells, random_state=settings.seed)
    torch.set_num_threads(threads)  # numba, which umap runs on, sets those of PyTorch too
    return np.asarray(cells.obsm["X_umap"], dtype=np.float32)
