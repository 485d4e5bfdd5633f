"""Encoders that read a few genes of each cell: which ones, and what all others are told by them.

Shapes: b cells, g genes, h genes of the large encoder, l of the mini encoder, n = h + l, k genes
that are asked for, c width.
"""

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sclong_core.model import ScLong, ScLongOutput

_EXPRESSED, _UNMEASURED = 1e3, -1e3
"""Put expressed genes before all others, and those that are not measured behind them."""


class CellVectors(NamedTuple):
    """What a model with a readout says of cells as wholes."""

    vector: Tensor
    """``(cells, readout.width)``: the bottleneck that all genes are predicted from."""
    components: Tensor
    """``(cells, readout.components)``: reference components, of variance 1 in training."""
    embedding: Tensor
    """``(cells, readout.embedding_width)``: what is handed out, centred and scaled by the training
    cells."""


class ContextOutput(NamedTuple):
    """What the encoders make of a context and of the genes that were asked for."""

    context: Tensor
    """``(cells, n, dim)``: genes of the context, those of the large encoder first."""
    positions: Tensor
    """``(cells, n)`` int64: which ones they are."""
    asked: Tensor
    """``(cells, k, dim)``."""


class ContextMethods:
    """How an :class:`~sclong_core.model.ScLong` with ``config.context`` computes."""

    def choose_context(self, expression: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
        """Positions ``(cells, high_genes)`` and ``(cells, low_genes)`` that the encoders read.

        Args:
            expression: ``(cells, genes)``; 0 where a gene is not measured.
            measured: boolean, of the same shape.
        """
        model = cast("ScLong", self)
        assert model.config.context is not None
        readout = model.require_readout()
        values_bv, measured_bv = expression[:, readout.variable], measured[:, readout.variable]
        surprise_bv = values_bv - readout.mean
        score_bv = torch.where(values_bv > 0, surprise_bv + _EXPRESSED, surprise_bv)
        score_bv.masked_fill_(~measured_bv, _UNMEASURED)
        high_bh = torch.topk(score_bv, model.config.high_genes, dim=1).indices
        score_bv = surprise_bv.abs().masked_fill_(~measured_bv, _UNMEASURED)
        score_bv.scatter_(1, high_bh, 2 * _UNMEASURED)
        low_bl = torch.topk(score_bv, model.config.context.low_genes, dim=1).indices
        return readout.variable[high_bh], readout.variable[low_bl]

    def read_context(
        self,
        expression: Tensor,
        measured: Tensor,
        asked: Tensor | None = None,
        *,
        hidden: Tensor | None = None,
        gene_embedding: Tensor | None = None,
    ) -> ContextOutput:
        """Represent the genes of the context, and others by what they read from it.

        Args:
            expression: ``(cells, genes)``; 0 where a gene is not measured.
            measured: boolean, of the same shape: the genes that may enter the context as what they
                are.
            asked: ``(cells, k)`` positions of further genes; none by default.
            hidden: boolean ``(cells, k)``: those whose value is not shown. By default those that
                are not measured.
            gene_embedding: what ``model.gene_embedding()`` returned.
        """
        model = cast("ScLong", self)
        gene_nc = model.gene_embedding() if gene_embedding is None else gene_embedding
        high_bh, low_bl = self.choose_context(expression, measured)
        if asked is None:
            asked = high_bh[:, :0]
        if hidden is None:
            hidden = ~measured.gather(1, asked)
        positions_bp = torch.cat([high_bh, low_bl, asked], dim=1)
        shown_bn = measured.gather(1, positions_bp[:, : -asked.shape[1] or None])
        masked_bp = torch.cat([~shown_bn, hidden], dim=1)
        genes_bpc = gene_nc[positions_bp]
        with torch.autocast(model.device.type, enabled=False):
            values_bp = expression.gather(1, positions_bp).masked_fill(masked_bp, 0)
            x_bpc = model.expression(values_bp, masked_bp) + genes_bpc
        h, n = high_bh.shape[1], high_bh.shape[1] + low_bl.shape[1]
        with model.precision():
            low_blc, asked_bkc = model.mini.read(x_bpc[:, h:n], x_bpc[:, n:])
            large_bhc = model.encode_large(x_bpc[:, :h])
            context_bnc = torch.cat([large_bhc, low_blc.float()], dim=1) + genes_bpc[:, :n]
            read = model.full.read(context_bnc, asked_bkc.float() + genes_bpc[:, n:])
        context_bnc, asked_bkc = (model.full_norm(part.float()) for part in read)
        return ContextOutput(context_bnc, positions_bp[:, :n], asked_bkc)

    def all_genes(
        self, expression: Tensor, masked: Tensor | None, gene_embedding: Tensor | None
    ) -> "ScLongOutput":
        """Represent every gene of the vocabulary by the cell's context."""
        from sclong_core.model import ScLongOutput  # noqa: PLC0415  # its class has these methods

        model = cast("ScLong", self)
        measured = torch.ones_like(expression, dtype=torch.bool) if masked is None else ~masked
        shown = expression.masked_fill(~measured, 0)
        every = torch.arange(model.config.genes, device=expression.device)
        asked = every.expand(len(expression), -1)
        found = self.read_context(shown, measured, asked, gene_embedding=gene_embedding)
        places = found.positions.unsqueeze(-1).expand_as(found.context)
        representations = found.asked.scatter(1, places, found.context)
        reconstruction = model.decoder(representations).squeeze(-1)
        high = found.positions[:, : model.config.high_genes]
        return ScLongOutput(representations, reconstruction, high)

    def cell_vectors(
        self,
        expression: Tensor,
        measured: Tensor | None = None,
        *,
        gene_embedding: Tensor | None = None,
    ) -> CellVectors:
        """The vectors of cells.

        Args:
            expression: ``(cells, genes)`` values as ``config.input`` says.
            measured: boolean ``(cells, genes)`` or ``(genes,)``: genes that the data has; all by
                default. What is not measured is unknown, and not zero.
            gene_embedding: what ``model.gene_embedding()`` returned, where it does not change.

        Raises:
            ConfigError: the model has no readout.
        """
        model = cast("ScLong", self)
        readout = model.require_readout()
        if measured is None:
            measured = torch.ones_like(expression, dtype=torch.bool)
        measured = measured.expand_as(expression)
        shown = expression.float().masked_fill(~measured, 0)
        context = None
        if readout.config.queries:
            context = self.read_context(shown, measured, gene_embedding=gene_embedding).context
        vector, components = readout(shown, measured, context)
        return CellVectors(vector, components, readout.embedding(vector, components))
