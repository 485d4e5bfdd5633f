"""The scLong network: what is computed, of tensors alone.

Source: the scLong paper (Bai et al.), "scLong model architecture". Where the paper and the authors'
release differ, the release decides what is computed (documentation page "Paper and release").

Shapes: b cells, g genes, n = g + 1 positions (the last is the release's PAD), c width. Of a
context: h genes of the large encoder, l of the mini encoder, n = h + l, k genes that are asked for.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sclong_core.config import ScLongConfig
from sclong_core.errors import ConfigError
from sclong_core.graph import GeneGraph, shuffle_edges
from sclong_core.nn.attention import FavorAttention, KeySummary
from sclong_core.nn.embedding import ExpressionEmbedding, GeneEmbedding
from sclong_core.nn.kernels import AttentionKernels, use_fused
from sclong_core.nn.performer import FEED_FORWARD_MULTIPLE, Performer
from sclong_core.nn.positions import complement, gather, highest, scatter
from sclong_core.nn.readout import Readout
from sclong_core.nn.softmax import Keys
from sclong_core.vocabulary import GeneVocabulary

_LARGE, _MINI, _FULL = 0, 1, 2
"""Encoder numbers in the keys of the random features."""
_CPU_BLOCK_BYTES = 8 << 20
"""Largest intermediate result of the genes that a CPU asks for at once."""
_EXPRESSED, _UNMEASURED = 1e3, -1e3
"""Put expressed genes before all others, and those that are not measured behind them."""


class ScLongOutput(NamedTuple):
    """What a forward pass gives for each cell."""

    gene_representations: Tensor
    """``(cells, genes, dim)`` float32: the full encoder's output after its LayerNorm."""
    reconstruction: Tensor
    """``(cells, genes)`` float32: the expression that the decoder reads from each of them."""
    high_indices: Tensor
    """``(cells, high_genes)`` int64: positions given to the large encoder, highest first."""


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


class _Context(NamedTuple):
    """A context that was read: its genes, and what others read from it."""

    representations: Tensor
    positions: Tensor
    mini_keys: list[KeySummary | Keys]
    full_keys: list[KeySummary | Keys]


class Network(nn.Module):
    """Dual-encoder Performer over all genes of a cell.

    Args:
        config: sizes and switches.
        vocabulary: the genes of the positions; needed to embed cells and to save.
        graph: the gene graph; needed unless ``config.graph`` is "none".
        gene_vectors: ``(genes, dim)`` initial gene vectors (the paper: Gene2vec); random if None.

    Raises:
        ConfigError: these do not fit ``config``.
    """

    redraw_index: Tensor

    def __init__(  # settings of a user, each by its name
        self,
        config: ScLongConfig,
        vocabulary: GeneVocabulary | None = None,
        graph: GeneGraph | None = None,
        gene_vectors: npt.NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__()
        _check_fit(config, vocabulary, graph, gene_vectors)
        self.config = config
        self.vocabulary = vocabulary
        self.graph = graph
        self.expression = ExpressionEmbedding(config)
        self.genes = GeneEmbedding(config, gene_vectors)
        self.large_input = nn.Linear(config.dim, config.large.dim)
        self.large_input_norm = nn.LayerNorm(config.large.dim)
        self.large = Performer(config.large, key=(config.feature_seed, _LARGE))
        self.large_output = nn.Linear(config.large.dim, config.dim)
        self.large_output_norm = nn.LayerNorm(config.dim)
        if config.low_expression != "none":
            self.mini = Performer(config.mini, key=(config.feature_seed, _MINI))
        self.full = Performer(config.full, key=(config.feature_seed, _FULL))
        self.full_norm = nn.LayerNorm(config.dim)
        self.decoder = nn.Linear(config.dim, 1)
        if config.readout is not None:
            self.detection = nn.Linear(config.dim, 1)
            self.readout = Readout(config)
        self.register_buffer("redraw_index", torch.tensor(0))
        if graph is not None and config.graph != "none":
            seed = config.feature_seed
            self.genes.set_graph(
                shuffle_edges(graph, seed) if config.graph == "shuffled" else graph,
                random_weights=seed if config.graph == "random" else None,
            )
        if self.decoder.weight.device.type != "meta":
            self.redraw_features(0)
            if config.low_expression == "random":
                self.randomise_mini()

    def forward(
        self,
        expression: Tensor,
        masked: Tensor | None = None,
        *,
        high_indices: Tensor | None = None,
        gene_embedding: Tensor | None = None,
    ) -> ScLongOutput:
        """Represent every gene of every cell and reconstruct its expression.

        Args:
            expression: ``(cells, genes)`` values as ``config.input`` says, in vocabulary order.
            masked: boolean ``(cells, genes)``; the values there are hidden from the model. They
                rank below every other value.
            high_indices: ``(cells, high_genes)`` positions for the large encoder, in place of the
                cell's own highest ones.
            gene_embedding: what :meth:`gene_embedding` returned, where it does not change between
                calls.
        """
        if self.config.context is not None:
            return self.all_genes(expression.float(), masked, gene_embedding)
        x_bn, masked_bn = _append_pad(expression.float(), masked)
        high_bh = self._high_positions(x_bn, masked_bn) if high_indices is None else high_indices
        with self._float32():
            gene_nc = self.gene_embedding() if gene_embedding is None else gene_embedding
            x_bnc = self.expression(x_bn, masked_bn) + gene_nc
        with self.precision():
            if self.config.low_expression == "none":
                representations_bnc = self._encode_high_only(x_bnc, gene_nc, high_bh)
            else:
                representations_bnc = self._encode(x_bnc, gene_nc, high_bh)
        with self._float32():
            reconstruction_bn = self.decoder(representations_bnc).squeeze(-1)
        return ScLongOutput(representations_bnc[:, :-1], reconstruction_bn[:, :-1], high_bh)

    def gene_embedding(self) -> Tensor:
        """``(genes + 1, dim)``: gene table plus graph convolution, the same in every cell."""
        with self._float32():
            embedding: Tensor = self.genes()
        return embedding

    def _high_positions(self, x_bn: Tensor, masked_bn: Tensor | None) -> Tensor:
        """The cell's highest values; ties go to the lowest position, masked values rank last."""
        ranked_bn = x_bn if masked_bn is None else x_bn.masked_fill(masked_bn, -torch.inf)
        return highest(ranked_bn, self.config.high_genes)

    def encode_large(self, high_bhc: Tensor) -> Tensor:
        """The large encoder with the projections around it: ``(cells, high genes, dim)``."""
        high_bhc = self.large_input(high_bhc)
        high_bhc = self.large(self.large_input_norm(high_bhc.float()))
        normed: Tensor = self.large_output_norm(self.large_output(high_bhc).float())
        return normed

    def _encode(self, x_bnc: Tensor, gene_nc: Tensor, high_bh: Tensor) -> Tensor:
        low_bl = complement(high_bh, x_bnc.shape[1])
        merged_bnc = torch.empty_like(x_bnc)
        merged_bnc = scatter(merged_bnc, high_bh, self.encode_large(gather(x_bnc, high_bh)))
        merged_bnc = scatter(merged_bnc, low_bl, self.mini(gather(x_bnc, low_bl)))
        normed: Tensor = self.full_norm(self.full(merged_bnc + gene_nc))
        return normed

    def _encode_high_only(self, x_bnc: Tensor, gene_nc: Tensor, high_bh: Tensor) -> Tensor:
        """The ablation without low-expression genes; they get the mean of the others."""
        high_bhc = self.encode_large(gather(x_bnc, high_bh)) + gene_nc[high_bh]
        high_bhc = self.full_norm(self.full(high_bhc))
        filled_bnc = high_bhc.mean(1, keepdim=True).expand(-1, x_bnc.shape[1], -1)
        return scatter(filled_bnc, high_bh, high_bhc)

    @torch.no_grad()
    def redraw_features(self, redraw_index: int) -> None:
        """Redraw the random features of all layers.

        They are a pure function of (``config.feature_seed``, encoder, layer, ``redraw_index``), so
        that ranks agree and a resumed run goes on as if it had never stopped.
        """
        for encoder in self.encoders().values():
            encoder.redraw_features(redraw_index)
        self.redraw_index.fill_(redraw_index)

    @torch.no_grad()
    def randomise_mini(self) -> None:
        """Draw every parameter of the mini encoder from N(0, 1) (the paper's Random LEG)."""
        generator = torch.Generator().manual_seed(self.config.feature_seed)
        for parameter in self.mini.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def require_readout(self) -> Readout:
        """The readout.

        Raises:
            ConfigError: the model has none.
        """
        if self.config.readout is None:
            raise ConfigError(
                "this model does not compute a vector of the cell itself: choose "
                'another pool than "cell" or "components", or another checkpoint'
            )
        return self.readout

    def encoders(self) -> dict[str, Performer]:
        """The Performers of this model by name: large, mini (if there is one), full."""
        names = (
            ("large", "mini", "full") if self.config.low_expression != "none" else ("large", "full")
        )
        return {name: getattr(self, name) for name in names}

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.decoder.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the large matrix products: float32 or bfloat16."""
        return self.large_input.weight.dtype

    def set_dtype(self, dtype: torch.dtype) -> Self:
        """Keep the weights of the large products in ``dtype``; everything else stays float32.

        Raises:
            ConfigError: neither float32 nor bfloat16. float16 overflows in FAVOR+.
        """
        if dtype not in (torch.float32, torch.bfloat16):
            raise ConfigError(
                f"scLong computes in float32 or bfloat16, not {dtype}: float16 overflows in FAVOR+"
            )
        for linear in self.product_layers():
            linear.to(dtype)
        return self

    def set_attention(self, kernels: AttentionKernels) -> Self:
        """Choose how FAVOR+ is computed: a setting of this run, which no checkpoint keeps.

        Args:
            kernels: "blocks" of products; "fused" kernels of Triton, on a GPU; or "auto".

        Raises:
            ConfigError: there is no such choice, Triton is not installed, or "fused" was asked of a
                model without FAVOR+.
        """
        fused = use_fused(kernels)
        layers = [module for module in self.modules() if isinstance(module, FavorAttention)]
        if fused and not layers:
            raise ConfigError(
                "attention fused is for FAVOR+, which this model does not have: leave it at auto"
            )
        for layer in layers:
            layer.fused = fused
        return self

    def product_layers(self) -> list[nn.Linear]:
        """The Linear layers whose weights :meth:`set_dtype` converts."""
        inside = [
            m
            for encoder in self.encoders().values()
            for m in encoder.modules()
            if isinstance(m, nn.Linear)
        ]
        return [self.large_input, *inside, self.large_output]

    def precision(self) -> AbstractContextManager[Any]:
        """bfloat16 products where the weights are bfloat16, else what the caller has set."""
        if self.dtype == torch.bfloat16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _float32(self) -> AbstractContextManager[Any]:
        """No autocast: bfloat16 would round the expression values themselves."""
        return torch.autocast(self.device.type, enabled=False)

    def choose_context(self, expression: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
        """Positions ``(cells, high_genes)`` and ``(cells, low_genes)`` that the encoders read.

        Args:
            expression: ``(cells, genes)``; 0 where a gene is not measured.
            measured: boolean, of the same shape.
        """
        assert self.config.context is not None
        readout = self.require_readout()
        values_bv = expression.index_select(1, readout.variable)
        measured_bv = measured[:, readout.variable]
        surprise_bv = values_bv - readout.mean
        score_bv = torch.where(values_bv > 0, surprise_bv + _EXPRESSED, surprise_bv)
        score_bv.masked_fill_(~measured_bv, _UNMEASURED)
        high_bh = torch.topk(score_bv, self.config.high_genes, dim=1).indices
        score_bv = surprise_bv.abs().masked_fill_(~measured_bv, _UNMEASURED)
        score_bv.scatter_(1, high_bh, 2 * _UNMEASURED)
        low_bl = torch.topk(score_bv, self.config.context.low_genes, dim=1).indices
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
            gene_embedding: what ``self.gene_embedding()`` returned.
        """
        gene_nc = self.gene_embedding() if gene_embedding is None else gene_embedding
        context = self._read(expression, measured, gene_nc)
        if asked is None:
            read_bkc = context.representations[:, :0]
            return ContextOutput(context.representations, context.positions, read_bkc)
        if hidden is None:
            hidden = ~measured.gather(1, asked)
        values_bk = expression.gather(1, asked)
        read_bkc = self._ask(context, values_bk, hidden, gene_nc[asked])
        return ContextOutput(context.representations, context.positions, read_bkc)

    def _read(self, expression: Tensor, measured: Tensor, gene_nc: Tensor) -> _Context:
        """Choose the context of cells and represent its genes."""
        high_bh, low_bl = self.choose_context(expression, measured)
        positions_bn = torch.cat([high_bh, low_bl], dim=1)
        genes_bnc = gene_nc[positions_bn]
        hidden_bn = ~measured.gather(1, positions_bn)
        x_bnc = self._enter(expression.gather(1, positions_bn), hidden_bn, genes_bnc)
        h = high_bh.shape[1]
        with self.precision():
            low_blc, mini_keys = self.mini.read(x_bnc[:, h:])
            large_bhc = self.encode_large(x_bnc[:, :h])
            merged_bnc = torch.cat([large_bhc, low_blc.float()], dim=1) + genes_bnc
            context_bnc, full_keys = self.full.read(merged_bnc)
        return _Context(self.full_norm(context_bnc.float()), positions_bn, mini_keys, full_keys)

    def _ask(
        self, context: _Context, values_bk: Tensor, hidden_bk: Tensor, genes_kc: Tensor
    ) -> Tensor:
        """Represent genes by what they read from a context."""
        x_bkc = self._enter(values_bk, hidden_bk, genes_kc)
        with self.precision():
            x_bkc = self.mini.ask(x_bkc, context.mini_keys)
            x_bkc = self.full.ask(x_bkc.float() + genes_kc, context.full_keys)
        normed: Tensor = self.full_norm(x_bkc.float())
        return normed

    def _enter(self, values_bk: Tensor, hidden_bk: Tensor, genes_kc: Tensor) -> Tensor:
        """What the encoders start from."""
        with self._float32():
            entering: Tensor = self.expression(values_bk.masked_fill(hidden_bk, 0), hidden_bk)
            return entering + genes_kc

    def all_genes(
        self, expression: Tensor, masked: Tensor | None, gene_embedding: Tensor | None
    ) -> ScLongOutput:
        """Represent every gene of the vocabulary by the cell's context.

        Genes are asked for in blocks, so that only what is returned is as large as all of them.
        """
        hidden = torch.zeros_like(expression, dtype=torch.bool) if masked is None else masked
        shown = expression.masked_fill(hidden, 0)
        gene_nc = self.gene_embedding() if gene_embedding is None else gene_embedding
        context = self._read(shown, ~hidden, gene_nc)
        blocks = [
            self._ask(context, shown[:, genes], hidden[:, genes], gene_nc[genes])
            for genes in self._gene_blocks(expression)
        ]
        representations = torch.cat(blocks, dim=1)
        places = context.positions.unsqueeze(-1).expand_as(context.representations)
        representations.scatter_(1, places, context.representations)
        reconstruction = self.decoder(representations).squeeze(-1)
        high = context.positions[:, : self.config.high_genes]
        return ScLongOutput(representations, reconstruction, high)

    def _gene_blocks(self, expression: Tensor) -> list[slice]:
        """All genes at once on an accelerator, else as many as stay in the cache."""
        cells, genes = expression.shape
        size = genes
        if expression.device.type == "cpu":
            config = self.config
            inner = max(config.mini.inner, config.full.inner, config.expression_hidden)
            widest = max(FEED_FORWARD_MULTIPLE * config.dim, inner)
            size = max(1, _CPU_BLOCK_BYTES // (4 * widest * cells))
        return [slice(start, min(start + size, genes)) for start in range(0, genes, size)]

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
            gene_embedding: what ``self.gene_embedding()`` returned, where it does not change.

        Raises:
            ConfigError: the model has no readout.
        """
        readout = self.require_readout()
        if measured is None:
            measured = torch.ones_like(expression, dtype=torch.bool)
        if measured.dim() == 1:  # a few columns, several times faster than a mask of all values
            shown = expression.float().index_fill(1, (~measured).nonzero().squeeze(1), 0)
        else:
            shown = expression.float().masked_fill(~measured, 0)
        measured = measured.expand_as(expression)
        context = None
        if readout.config.queries:
            context = self.read_context(shown, measured, gene_embedding=gene_embedding).context
        vector, components = readout(shown, measured, context)
        return CellVectors(vector, components, readout.embedding(vector, components))


def _check_fit(
    config: ScLongConfig,
    vocabulary: GeneVocabulary | None,
    graph: GeneGraph | None,
    gene_vectors: npt.NDArray[np.float32] | None,
) -> None:
    if vocabulary is not None and len(vocabulary) != config.genes:
        raise ConfigError(f"vocabulary has {len(vocabulary)} genes, the model {config.genes}")
    if graph is not None and graph.genes != config.genes:
        raise ConfigError(f"gene graph has {graph.genes} genes, the model {config.genes}")
    if graph is None and config.graph != "none":
        raise ConfigError('the model needs a gene graph: pass one, or set graph="none"')
    if gene_vectors is not None and gene_vectors.shape != (config.genes, config.dim):
        raise ConfigError(
            f"gene vectors are {gene_vectors.shape}, the model needs {(config.genes, config.dim)}"
        )


def _append_pad(expression_bg: Tensor, masked_bg: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The release's PAD: one more position with expression 0, never masked."""
    x_bn = nn.functional.pad(expression_bg, (0, 1))
    return x_bn, None if masked_bg is None else nn.functional.pad(masked_bg, (0, 1))
