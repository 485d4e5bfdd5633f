"""How far a change of genes moves the vectors of cells.

A change sets values of the model's input and leaves all others as they were: a cell keeps the scale
that its own counts gave it. Counting again without the gene would raise every other gene a little,
and so move cells by how much of a gene they hold, not by what it is.

Shapes: n cells, g genes of the vocabulary, w width of a vector.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from sclong_core.embedding.pooling import OF_READOUT, Pool, pool_cells
from sclong_core.expression import PreparedCells
from sclong_core.model import ScLong
from sclong_tasks.in_silico.genes import Change

Floats = npt.NDArray[np.float32]
_BLOCK = 256


@dataclass(frozen=True)
class Movement:
    """What a change did to each cell."""

    shift_nw: Floats
    """Of the vector's direction: the unit vector after, less the one before."""
    euclid_n: Floats
    """Distance between the vectors."""
    changed: int
    """Cells whose input the change altered."""

    @property
    def cosine_n(self) -> Floats:
        """Cosine distance between the vectors."""
        return np.asarray(np.square(self.shift_nw).sum(1) / 2, dtype=np.float32)


class VectorReader:
    """Makes vectors of cells from values, differentiably.

    Args:
        model: in evaluation mode.
        pool: rule for the vector of a cell.
        cells: prepared for the model; they say which genes are measured.
    """

    def __init__(self, model: ScLong, pool: Pool, cells: PreparedCells) -> None:
        self.model, self._pool = model.eval(), pool
        measured = np.zeros(model.config.genes, dtype=bool)
        measured[cells.match.positions] = True
        self.measured_g = measured
        self._measured_g = torch.from_numpy(measured).to(model.device)
        with torch.no_grad():
            self._genes = model.gene_embedding()

    def read_g(self) -> npt.NDArray[np.bool_]:
        """Measured genes that can move a vector: of a model with a readout its variable genes."""
        if self._pool not in OF_READOUT:
            return self.measured_g
        read = np.zeros_like(self.measured_g)
        read[self.model.require_readout().variable.cpu().numpy()] = True
        return read & self.measured_g

    def __call__(self, x_ng: Tensor) -> Tensor:
        """``(n, w)``."""
        if self._pool in OF_READOUT:
            found = self.model.cell_vectors(x_ng, self._measured_g, gene_embedding=self._genes)
            return found.embedding if self._pool == "cell" else found.components
        output = self.model(x_ng, gene_embedding=self._genes)
        return pool_cells(output, x_ng, self._pool)


def read_expression(cells: PreparedCells, rows: npt.NDArray[np.int64]) -> sparse.csr_matrix:
    """``(rows, g)`` float32: the model's input of chosen cells, ascending row numbers."""
    parts = [sparse.csr_matrix((0, cells.match.vocabulary_genes), dtype=np.float32)]
    for start in range(0, len(cells), _BLOCK):
        stop = min(start + _BLOCK, len(cells))
        inside = rows[(rows >= start) & (rows < stop)] - start
        if len(inside):
            parts.append(sparse.csr_matrix(cells.sparse_block(start, stop)[inside]))
    return sparse.vstack(parts, format="csr")


class Mover:
    """Applies changes to some cells.

    Args:
        reader: makes the vectors.
        expression_ng: values of the cells.
        before_nw: their vectors.
        levels: value that overexpression sets, by gene.
        batch_size: cells at a time.
    """

    def __init__(
        self,
        reader: VectorReader,
        expression_ng: sparse.csr_matrix,
        before_nw: Floats,
        levels: dict[int, float],
        *,
        batch_size: int,
    ) -> None:
        self._reader, self._levels = reader, levels
        self.expression_ng = expression_ng
        self._columns = expression_ng.tocsc()
        self.before_nw = before_nw
        self.unit_nw = unit(before_nw)
        self._size = batch_size
        self._read_g = reader.read_g()
        self._done: dict[tuple[str, tuple[int, ...]], tuple[float, Floats]] = {}

    def value_n(self, position: int) -> Floats:
        """Values of a gene."""
        return np.asarray(self._columns[:, [position]].toarray()[:, 0])

    def mean(self, change: Change) -> tuple[float, Floats]:
        """Mean cosine distance and mean shift of a change, which is computed once."""
        key = (change.kind, tuple(sorted(change.positions)))
        if key not in self._done:
            found = self.move(change)
            self._done[key] = float(found.cosine_n.mean()), found.shift_nw.mean(0)
        return self._done[key]

    def known(self, kind: str, position: int) -> tuple[float, Floats] | None:
        """What :meth:`mean` found of a single gene; None where it was not asked."""
        return self._done.get((kind, (position,)))

    def again(self) -> Floats:
        """The vectors of the cells as they are, computed."""
        with torch.inference_mode():
            x = torch.from_numpy(self.expression_ng.toarray()).to(self._reader.model.device)
            return np.asarray(self._reader(x).float().cpu().numpy())

    def move(self, change: Change) -> Movement:
        """What a change does to each cell."""
        wanted = {position: self._wanted(change, position) for position in change.positions}
        touched = np.zeros(len(self.before_nw), dtype=bool)
        seen = touched.copy()
        for position, values in wanted.items():
            differs = values != self.value_n(position)
            touched |= differs
            seen |= differs & self._read_g[position]
        shift, euclid = np.zeros_like(self.unit_nw), np.zeros(len(touched), dtype=np.float32)
        rows = np.flatnonzero(seen)
        for start in range(0, len(rows), self._size):
            chosen = rows[start : start + self._size]
            x = self.expression_ng[chosen].toarray()
            for position, values in wanted.items():
                x[:, position] = values[chosen]
            with torch.inference_mode():
                found = self._reader(torch.from_numpy(x).to(self._reader.model.device))
            after = found.float().cpu().numpy()
            shift[chosen] = unit(after) - self.unit_nw[chosen]
            euclid[chosen] = np.linalg.norm(after - self.before_nw[chosen], axis=1)
        return Movement(shift, euclid, int(touched.sum()))

    def _wanted(self, change: Change, position: int) -> Floats:
        values = self.value_n(position)
        if change.kind == "delete":
            return np.zeros_like(values)
        return np.maximum(values, np.float32(self._levels[position]))


def unit(vectors_nw: npt.NDArray[np.floating]) -> Floats:
    """Vectors of length 1."""
    lengths = np.linalg.norm(vectors_nw, axis=1, keepdims=True)
    return np.asarray(vectors_nw / np.maximum(lengths, 1e-12), dtype=np.float32)


def overexpressed_levels(expression_ng: sparse.csr_matrix, quantile: float) -> dict[int, float]:
    """The value at a quantile of the cells that express a gene, for every gene with one."""
    columns = expression_ng.tocsc()
    found = {}
    for gene in np.flatnonzero(np.diff(columns.indptr)).tolist():
        values = columns.data[columns.indptr[gene] : columns.indptr[gene + 1]]
        found[gene] = float(np.quantile(values, quantile))
    return found
