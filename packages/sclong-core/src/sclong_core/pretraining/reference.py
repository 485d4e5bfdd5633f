"""What a readout has to know of the training cells before training: means, rates, components.

Sources of cells differ in size by orders of magnitude, and in what they measure. A source of ``n``
cells weighs as much as ``n ** 0.5`` cells, and a gene is counted over the sources that measure it.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import linalg, sparse

from sclong_core.config import ReadoutConfig
from sclong_core.errors import ConfigError
from sclong_core.nn.readout import CLIP, ReferenceStatistics

Floats = npt.NDArray[np.float64]
_TEMPER = 0.5
"""Power of a source's size that it weighs."""
_BINS = 20
"""Groups of genes of similar mean, within which dispersions are compared."""
_LEAST_CELLS = 10
"""Training cells that a variable gene is expressed in, at least."""


class SampledCells(NamedTuple):
    """Some training cells, for statistics."""

    expression: sparse.csr_array
    """``(cells, genes)`` as the model takes it."""
    source: npt.NDArray[np.int64]
    """``(cells,)`` which source each is from."""
    measured: npt.NDArray[np.bool_]
    """``(sources, genes)`` genes that a source measures."""


def reference_statistics(cells: SampledCells, readout: ReadoutConfig) -> ReferenceStatistics:
    """Statistics of training cells for a readout; a pure function of the cells.

    Raises:
        ConfigError: there are too few cells or genes for what the readout asks for.
    """
    weights = cell_weights(cells.source)
    sums = _GeneSums(cells, weights)
    variable = _variable_genes(sums, readout.variable_genes)
    mean = sums.mean[variable]
    scale = np.sqrt(np.maximum(sums.square[variable] - mean**2, 1e-6))
    components, spread = _components(cells, weights, variable, mean, scale, readout.components)
    return ReferenceStatistics(
        gene_level=_tensor(sums.level),
        gene_rate=_tensor(sums.rate),
        variable=torch.from_numpy(variable),
        mean=_tensor(mean),
        scale=_tensor(scale),
        components=_tensor(components),
        component_scale=_tensor(spread),
    )


def _tensor(values: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.astype(np.float32)))


def gene_loadings(
    cells: SampledCells, found: ReferenceStatistics, width: int
) -> npt.NDArray[np.float32]:
    """Correlation of every gene with the first components, ``(genes, width)``.

    Vectors of genes that start here know from the first step which genes go together. Columns
    beyond the components are 0.
    """
    weights = cell_weights(cells.source)
    x = cells.expression
    variable, mean = found.variable.numpy(), found.mean.numpy()
    columns = x[:, variable].tocsr()
    loadings = found.components.numpy()[:, :width] / found.component_scale.numpy()[:width]
    product = np.zeros((x.shape[1], loadings.shape[1]))
    sums, squares = np.zeros((2, x.shape[1]))
    for start in range(0, x.shape[0], 1024):
        rows = slice(start, start + 1024)
        values = (columns[rows].toarray() - mean) / found.scale.numpy()
        values = np.clip(values, -CLIP, CLIP) * cells.measured[cells.source[rows]][:, variable]
        scores = (values @ loadings) * weights[rows, None]
        block = x[rows]
        product += block.T @ scores
        sums += block.T @ weights[rows]
        squares += block.power(2).T @ weights[rows]
    spread = np.sqrt(np.maximum(squares - sums**2, 1e-6))
    vectors: npt.NDArray[np.float32] = np.zeros((x.shape[1], width), dtype=np.float32)
    vectors[:, : product.shape[1]] = product / spread[:, None]
    return vectors


def cell_weights(source: npt.NDArray[np.int64]) -> Floats:
    """Weight of each cell, 1 in all."""
    sizes = np.bincount(source)
    weights = sizes.astype(np.float64)[source] ** (_TEMPER - 1)
    return np.asarray(weights / weights.sum())


class _GeneSums:
    """Weighted moments of each gene over the cells that measure it."""

    def __init__(self, cells: SampledCells, weights: Floats) -> None:
        x, genes = cells.expression, cells.expression.shape[1]
        row = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        w = weights[row]
        of_sources = np.bincount(cells.source, weights, minlength=len(cells.measured))
        total = np.maximum(of_sources @ cells.measured, 1e-12)
        values = x.data.astype(np.float64)

        def over_genes(data: Floats) -> Floats:
            return np.asarray(np.bincount(x.indices, data, minlength=genes), dtype=np.float64)

        expressed = over_genes(w)
        self.cells = np.bincount(x.indices, minlength=genes)
        self.rate = expressed / total
        self.mean = over_genes(w * values) / total
        self.square = over_genes(w * values**2) / total
        overall = (w * values).sum() / max(w.sum(), 1e-12)
        self.level = np.divide(
            over_genes(w * values), expressed, out=np.full(genes, overall), where=expressed > 0
        )
        self.share = total


def _variable_genes(sums: _GeneSums, count: int) -> npt.NDArray[np.int64]:
    """Genes of highest variance for their mean, in the order of the vocabulary."""
    usable = np.flatnonzero((sums.cells >= _LEAST_CELLS) & (sums.share > 0.5 * sums.share.max()))
    if usable.size < count:
        raise ConfigError(
            f"{usable.size:,} genes are expressed often enough and measured by most "
            f"sources, fewer than readout.variable_genes ({count:,}): lower it, or use "
            "more cells"
        )
    mean = sums.mean[usable]
    variance = np.maximum(sums.square[usable] - mean**2, 1e-12)
    ranks = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
    group = ranks * _BINS // usable.size
    excess = np.log(variance)
    for number in range(_BINS):
        mine = group == number
        excess[mine] -= np.median(excess[mine])
    # The mean counts too: what is seen in a few cells says little about the others.
    score = excess + np.log(variance)
    chosen = np.argsort(-score, kind="stable")[:count]
    return np.sort(usable[chosen]).astype(np.int64)


def _components(
    cells: SampledCells,
    weights: Floats,
    variable: npt.NDArray[np.int64],
    mean: Floats,
    scale: Floats,
    count: int,
) -> tuple[Floats, Floats]:
    """Loadings and standard deviations of the first components of the scaled values."""
    if not count:
        return np.zeros((variable.size, 0)), np.zeros(0)
    if cells.expression.shape[0] <= count:
        raise ConfigError(
            f"{cells.expression.shape[0]:,} training cells are too few for {count} "
            "components: lower readout.components"
        )
    moment = np.zeros((variable.size, variable.size))
    first = np.zeros(variable.size)
    columns = cells.expression[:, variable].tocsr()
    for start in range(0, columns.shape[0], 1024):
        rows = slice(start, start + 1024)
        values = (columns[rows].toarray() - mean) / scale
        values = np.clip(values, -CLIP, CLIP) * cells.measured[cells.source[rows]][:, variable]
        weighted = values * weights[rows, None]
        moment += values.T @ weighted
        first += weighted.sum(0)
    moment -= np.outer(first, first)
    # Only the largest, which takes a fraction of the time of all.
    largest = (max(0, variable.size - count), variable.size - 1)
    spread, loadings = linalg.eigh(moment, subset_by_index=largest)
    loadings = loadings[:, ::-1][:, :count]
    loadings *= np.where(loadings[np.abs(loadings).argmax(0), np.arange(count)] < 0, -1, 1)
    return loadings, np.sqrt(np.maximum(spread[::-1][:count], 1e-8))
