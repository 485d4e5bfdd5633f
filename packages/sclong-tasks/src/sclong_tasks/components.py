"""Linear components of variable genes, fitted on a corpus and applied to cells it never held.

Shapes: n cells, g genes of the vocabulary, v variable genes, k components.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sclong_core.errors import ConfigError
from sclong_tasks.corpus_cells import CorpusCells

Floats = npt.NDArray[np.float64]
CLIP = 10.0
"""Largest scaled value."""
_BINS = 20
_AT_ONCE = 1024
_LEAST_CELLS = 10


@dataclass(frozen=True, eq=False)
class Components:
    """Loadings of scaled genes."""

    genes_v: npt.NDArray[np.int64]
    """Places in the vocabulary."""
    mean_v: Floats
    scale_v: Floats
    loadings_vk: Floats

    def __call__(
        self, expression_ng: npt.NDArray[np.float32], measured_g: npt.NDArray[np.bool_], count: int
    ) -> npt.NDArray[np.float32]:
        """The first ``count`` components of cells; a gene that is not measured has its mean.

        Args:
            expression_ng: log1p over the vocabulary.
            measured_g: genes that the cells' data set holds.
            count: of components.

        Returns:
            ``(cells, count)``.
        """
        scaled = (expression_ng[:, self.genes_v] - self.mean_v) / self.scale_v
        scaled = np.clip(scaled, -CLIP, CLIP) * measured_g[self.genes_v]
        return np.asarray(scaled @ self.loadings_vk[:, :count], dtype=np.float32)


def fit_components(cells: CorpusCells, *, genes: int = 2000, components: int = 150) -> Components:
    """Components of the scaled values of the most variable genes; large sources are tempered.

    Raises:
        ConfigError: the corpus has fewer cells than components, or fewer genes than asked for.
    """
    if components >= cells.expression.shape[0]:
        raise ConfigError(
            f"{cells.expression.shape[0]} cells are too few for {components} components"
        )
    weights = cells.weights()
    chosen = dispersed_genes(cells, weights, genes)
    share = np.bincount(cells.source_n, weights) @ cells.measured_sg[:, chosen]
    columns = cells.expression[:, chosen].tocsr()
    mean = (weights @ columns) / share
    scale = np.sqrt(np.maximum((weights @ columns.power(2)) / share - mean**2, 1e-6))
    moment, first = np.zeros((len(chosen), len(chosen))), np.zeros(len(chosen))
    for start in range(0, columns.shape[0], _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        scaled = np.clip((columns[rows].toarray() - mean) / scale, -CLIP, CLIP)
        scaled *= cells.measured_sg[cells.source_n[rows]][:, chosen]
        weighted = scaled * weights[rows, None]
        moment += scaled.T @ weighted
        first += weighted.sum(0)
    _, loadings = np.linalg.eigh(moment - np.outer(first, first))
    return Components(chosen, mean, scale, loadings[:, ::-1][:, :components])


def dispersed_genes(cells: CorpusCells, weights: Floats, count: int) -> npt.NDArray[np.int64]:
    """Places of the genes of highest dispersion among genes of like mean, ascending.

    Variance over mean of the values before log1p, over the cells that measure a gene; logarithmic
    and standardised within 20 groups by mean. Genes that fewer than 10 cells express, or that
    sources of less than half the weight measure, are left out.

    Raises:
        ConfigError: too few genes are left.
    """
    x = cells.expression
    share = np.bincount(cells.source_n, weights) @ cells.measured_sg
    expressed = np.bincount(x.indices, minlength=x.shape[1])
    usable = np.flatnonzero((expressed >= _LEAST_CELLS) & (share > 0.5))
    if len(usable) < count:
        raise ConfigError(f"{len(usable)} genes are expressed often enough, not {count}")
    row_weights = np.repeat(weights, np.diff(x.indptr))
    values = np.expm1(x.data.astype(np.float64))
    safe = np.maximum(share, 1e-12)
    mean = np.bincount(x.indices, row_weights * values, minlength=x.shape[1]) / safe
    square = np.bincount(x.indices, row_weights * values**2, minlength=x.shape[1]) / safe
    mean, variance = mean[usable], np.maximum(square - mean**2, 1e-12)[usable]
    dispersion = np.log(variance / mean)
    group = np.argsort(np.argsort(mean, kind="stable"), kind="stable") * _BINS // len(usable)
    for number in range(_BINS):
        mine = group == number
        if not mine.any():
            continue
        spread = dispersion[mine].std()
        dispersion[mine] = (dispersion[mine] - dispersion[mine].mean()) / (spread or 1.0)
    best = np.argsort(-dispersion, kind="stable")[:count]
    return np.sort(usable[best]).astype(np.int64)
