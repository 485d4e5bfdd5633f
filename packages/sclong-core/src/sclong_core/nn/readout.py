"""The vector of a cell: what it is made of, and the genes that are predicted from it.

Shapes: b cells, g genes, v variable genes, c width of a gene vector, w width of the cell's vector.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sclong_core.config import ScLongConfig
from sclong_core.nn.filled import filled

CLIP = 10.0
"""Largest scaled value of a gene, as in common practice."""


class GenePrediction(NamedTuple):
    """What a cell's vector says of genes."""

    value: Tensor
    """``(cells, genes)``: the expression of a gene if it is expressed."""
    detection: Tensor
    """``(cells, genes)``: log odds that it is."""


@dataclass(frozen=True)
class ReferenceStatistics:
    """What a readout knows of the training cells."""

    gene_level: Tensor
    """``(genes,)`` mean expression where it is expressed."""
    gene_rate: Tensor
    """``(genes,)`` share of the cells that measure it which express it."""
    variable: Tensor
    """``(variable genes,)`` int64 positions of the variable genes."""
    mean: Tensor
    """``(variable genes,)`` mean of each."""
    scale: Tensor
    """``(variable genes,)`` standard deviation of each."""
    components: Tensor
    """``(variable genes, components)`` loadings of the scaled values."""
    component_scale: Tensor
    """``(components,)`` standard deviation of each."""


def _count(numbers: Tensor) -> None:
    torch.arange(len(numbers), out=numbers)


class Readout(nn.Module):
    """From a cell's expression and gene representations to one vector, and from it to all genes."""

    variable: Tensor
    mean: Tensor
    scale: Tensor
    rate: Tensor
    components: Tensor
    component_scale: Tensor
    centre: Tensor
    projection: Tensor

    def __init__(self, config: ScLongConfig) -> None:
        """Make the parts that ``config.readout`` has."""
        super().__init__()
        readout = config.readout
        assert readout is not None
        self.config, dim = readout, config.dim
        hidden, width = readout.hidden, readout.width
        genes, variable, components = config.genes, readout.variable_genes, readout.components
        self.register_buffer("variable", filled((variable,), _count, torch.int64))
        self.register_buffer("mean", torch.zeros(variable))
        self.register_buffer("scale", torch.ones(variable))
        self.register_buffer("rate", torch.zeros(variable))
        self.register_buffer("components", torch.zeros(variable, components))
        self.register_buffer("component_scale", torch.ones(components))
        entering = 0
        if readout.sums:
            self.sums = nn.Linear(2 * variable, readout.sums)
            entering += readout.sums
        if readout.components:
            entering += components
        if readout.queries:
            self.queries = nn.Parameter(
                filled((readout.queries, dim), partial(nn.init.normal_, std=dim**-0.5))
            )
            self.key = nn.Linear(dim, dim)
            entering += readout.queries * dim
        self.entry = nn.Linear(entering, hidden)
        self.entry_norm = nn.LayerNorm(hidden)
        self.body = nn.Sequential(
            nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.LayerNorm(hidden)
        )
        self.vector = nn.Linear(hidden, width)
        if readout.residual:
            nn.init.zeros_(self.vector.weight)
            nn.init.zeros_(self.vector.bias)
        # Linear: what predicts genes alike then lies in the same direction.
        self.gene_queries = nn.Linear(width, 2 * dim)
        self.gene_keys = nn.Linear(dim, 2 * dim, bias=False)
        self.gene_bias = nn.Parameter(torch.zeros(2, genes))
        self.register_buffer("centre", torch.zeros(width + components))
        self.register_buffer(
            "projection", filled((width + components, readout.embedding_width), nn.init.eye_)
        )

    @torch.no_grad()
    def set_statistics(self, found: ReferenceStatistics) -> None:
        """Take over what is known of the training cells."""
        for name in ("variable", "mean", "scale", "components", "component_scale"):
            getattr(self, name).copy_(getattr(found, name))
        self.rate.copy_(found.gene_rate[found.variable])
        self.gene_bias[0].copy_(found.gene_level)
        self.gene_bias[1].copy_(torch.logit(found.gene_rate.clamp(1e-4, 1 - 1e-4)))

    @torch.no_grad()
    def set_output(self, vector_bw: Tensor, components_bc: Tensor, weight_b: Tensor) -> None:
        """Centre and scale what is handed out by the vectors and components of training cells.

        Components get back the variance that they have; then vector and components, where both are
        handed out, are given the same variance in all.
        """
        width, share = self.config.width, self.config.residual_share
        weight_b1 = (weight_b / weight_b.sum())[:, None].double()
        both_bf = torch.cat([vector_bw, components_bc], dim=1).double()
        centre = (both_bf * weight_b1).sum(0)
        sizes = torch.cat([torch.ones(width), self.component_scale.cpu()]).double()
        if self.config.residual:
            mixed = torch.cat([torch.eye(width) * share, self._placed() * (1 - share)])
            projection = mixed.double()
            parts = [slice(0, width)]
        else:
            projection = sizes.diag()
            parts = [slice(0, width), slice(width, None)]
        found = (both_bf - centre) @ projection
        for part in parts:
            variance = (found[:, part].square() * weight_b1).sum()
            projection[:, part] /= variance.clamp(min=1e-12).sqrt()
        self.centre.copy_(centre)
        self.projection.copy_(projection)

    def scaled(self, expression_bg: Tensor, measured_bg: Tensor) -> tuple[Tensor, Tensor]:
        """Variable genes, scaled, 0 where they are not measured; and where they are."""
        measured_bv = measured_bg[:, self.variable]
        scaled_bv = (expression_bg.index_select(1, self.variable) - self.mean) / self.scale
        return scaled_bv.clamp(-CLIP, CLIP) * measured_bv, measured_bv

    def component_values(self, scaled_bv: Tensor, measured_bv: Tensor) -> Tensor:
        """Components ``(cells, components)`` of variance 1 over the training cells.

        Genes that are not measured stand at their mean; what the others say is scaled up to the
        share of the components that they carry.
        """
        squares_vc = self.components.square()
        carried_bc = (measured_bv.to(squares_vc.dtype) @ squares_vc).clamp(min=0.05)
        values: Tensor = (scaled_bv @ self.components) / carried_bc / self.component_scale
        return values

    def forward(
        self, expression_bg: Tensor, measured_bg: Tensor, context_bnc: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The vector ``(cells, width)`` and the components ``(cells, components)``.

        Args:
            expression_bg: values, 0 where they are not measured.
            measured_bg: boolean, where they are.
            context_bnc: representations of the genes of the context; None without queries.
        """
        scaled_bv, measured_bv = self.scaled(expression_bg, measured_bg)
        components_bc = self.component_values(scaled_bv, measured_bv)
        parts = []
        if self.config.sums:
            # What is not measured is 0 in both, which is neither expressed nor silent.
            expressed_bv = (expression_bg.index_select(1, self.variable) > 0).to(scaled_bv.dtype)
            expressed_bv = (expressed_bv - self.rate) * measured_bv
            parts.append(self.sums(torch.cat([scaled_bv, expressed_bv], dim=1)))
        if self.config.components:
            parts.append(components_bc)
        if self.config.queries:
            assert context_bnc is not None
            parts.append(self._pooled(context_bnc))
        x_bh = self.entry_norm(self.entry(torch.cat(parts, dim=1)))
        vector_bw = self.vector(x_bh + self.body(x_bh))
        if self.config.residual:
            vector_bw = vector_bw + components_bc @ self._placed()
        return vector_bw, components_bc

    def _placed(self) -> Tensor:
        """``(components, width)``: components as a vector of the variance that they have.

        It is ``width`` in all over the training cells.
        """
        size = self.config.width**0.5 / self.component_scale.norm().clamp(min=1e-8)
        placed_cw = (self.component_scale * size).diag()
        return functional.pad(placed_cw, (0, self.config.width - len(placed_cw)))

    def _pooled(self, context_bnc: Tensor) -> Tensor:
        keys_bnc = self.key(context_bnc)
        pooled_bqc = functional.scaled_dot_product_attention(
            self.queries.expand(len(context_bnc), -1, -1), keys_bnc, context_bnc
        )
        return pooled_bqc.flatten(1)

    def predict(
        self, vector_bw: Tensor, gene_vectors_kc: Tensor, genes_k: Tensor
    ) -> GenePrediction:
        """Value and detection of some genes from the vector of a cell and those of the genes."""
        queries_b2c = self.gene_queries(vector_bw).unflatten(1, (2, -1))
        keys_k2c = self.gene_keys(gene_vectors_kc).unflatten(1, (2, -1))
        scores_2bk = torch.einsum("bsc,ksc->sbk", queries_b2c, keys_k2c)
        value, detection = scores_2bk + self.gene_bias[:, None, genes_k]
        return GenePrediction(value, detection)

    def predict_each(self, vector_bw: Tensor, gene_nc: Tensor, genes_bk: Tensor) -> GenePrediction:
        """The same for other genes in each cell, ``(cells, k)``."""
        queries_b2c = self.gene_queries(vector_bw).unflatten(1, (2, -1))
        keys_bk2c = self.gene_keys(gene_nc[genes_bk]).unflatten(2, (2, -1))
        scores_2bk = torch.einsum("bsc,bksc->sbk", queries_b2c, keys_bk2c)
        value, detection = scores_2bk + self.gene_bias[:, genes_bk]
        return GenePrediction(value, detection)

    def embedding(self, vector_bw: Tensor, components_bc: Tensor) -> Tensor:
        """What is handed out: the vector, with the components unless it holds them, centred."""
        both_bf = torch.cat([vector_bw, components_bc], dim=1)
        return (both_bf - self.centre) @ self.projection
