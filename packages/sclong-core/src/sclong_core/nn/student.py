"""The network of a student: the vector of a cell from sums over its expressed genes.

Shapes: b cells, g genes, n expressed genes of all cells of a batch together, r rank, h hidden
width, w width of the vectors.
"""

from functools import partial
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from sclong_core.config import StudentConfig
from sclong_core.nn.filled import filled


class SparseCells(NamedTuple):
    """The expressed genes of some cells, one cell after the other."""

    genes: Tensor
    """``(n,)`` int64 positions, ascending in each cell."""
    values: Tensor
    """``(n,)`` float32 expression, above 0."""
    starts: Tensor
    """``(b,)`` int64: where each cell begins."""

    @classmethod
    def of(cls, expression_bg: Tensor) -> Self:
        """Those of a dense table of cells and genes."""
        row, gene = expression_bg.nonzero(as_tuple=True)
        counts_b = torch.bincount(row, minlength=len(expression_bg))
        return cls(gene, expression_bg[row, gene], counts_b.cumsum(0) - counts_b)


class StudentNetwork(nn.Module):
    """Tables of genes summed over a cell and centred, a linear map of them, and a residual network.

    A gene that is measured but not expressed counts as far below its mean; one that is not measured
    does not count. So a cell is read alike from all genes and from a panel of them.

    Args:
        genes: of the vocabulary.
        config: sizes.
    """

    mean: Tensor
    rate: Tensor
    centre: Tensor
    decoding: Tensor
    sum_scale: Tensor

    def __init__(self, genes: int, config: StudentConfig) -> None:
        super().__init__()
        draw = partial(nn.init.normal_, std=config.rank**-0.5)
        self.by_value = nn.Parameter(filled((genes, config.rank), draw))
        self.by_presence = nn.Parameter(filled((genes, config.rank), draw))
        self.enter = nn.Linear(2 * config.rank, config.hidden)
        self.enter_norm = nn.LayerNorm(config.hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(config.hidden),
                nn.Linear(config.hidden, config.inner),
                nn.GELU(),
                nn.Linear(config.inner, config.hidden),
            )
            for _ in range(config.blocks)
        )
        self.leave_norm = nn.LayerNorm(config.hidden)
        self.leave = nn.Linear(config.hidden, config.width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.direct = nn.Linear(2 * config.rank, config.width, bias=False)
        self.register_buffer("mean", torch.zeros(genes))
        self.register_buffer("rate", torch.zeros(genes))
        self.register_buffer("sum_scale", torch.ones(2 * config.rank))
        self.register_buffer("centre", torch.zeros(config.width))
        self.register_buffer("decoding", filled((config.width, config.width), nn.init.eye_))

    def expected(self, measured_kg: Tensor) -> Tensor:
        """``(k, 2 r)``: the sums of a mean cell over some sets of measured genes."""
        sets_kg = measured_kg.to(self.mean.dtype)
        return torch.cat(
            [(sets_kg * self.mean) @ self.by_value, (sets_kg * self.rate) @ self.by_presence], dim=1
        )

    def sums(self, cells: SparseCells, expected_b2r: Tensor) -> Tensor:
        """Sums of the tables over each cell, ``(b, 2 r)``, around those of a mean cell.

        Args:
            cells: their expressed genes; none that is not measured.
            expected_b2r: what :meth:`expected` says for the measured genes of each.
        """
        sums_b2r = torch.cat(
            [
                functional.embedding_bag(
                    cells.genes,
                    self.by_value,
                    cells.starts,
                    mode="sum",
                    per_sample_weights=cells.values,
                ),
                functional.embedding_bag(cells.genes, self.by_presence, cells.starts, mode="sum"),
            ],
            dim=1,
        )
        return sums_b2r - expected_b2r

    def forward(self, cells: SparseCells, expected_b2r: Tensor) -> Tensor:
        """Whitened vectors ``(cells, width)``: :meth:`decode` makes the teacher's of them.

        The arguments are those of :meth:`sums`.
        """
        sums_b2r = self.sums(cells, expected_b2r) / self.sum_scale
        x_bh = self.enter_norm(self.enter(sums_b2r))
        for block in self.blocks:
            x_bh = x_bh + block(x_bh)
        whitened_bw: Tensor = self.direct(sums_b2r) + self.leave(self.leave_norm(x_bh))
        return whitened_bw

    def decode(self, whitened_bw: Tensor) -> Tensor:
        """Vectors as the teacher's, from whitened ones."""
        return whitened_bw @ self.decoding + self.centre
