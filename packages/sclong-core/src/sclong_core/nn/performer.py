"""A Performer: pre-norm layers of FAVOR+ attention and feed-forward (Choromanski et al., 2021)."""

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sclong_core.config import PerformerConfig
from sclong_core.nn.attention import FavorAttention, KeySummary, join
from sclong_core.nn.products import Product
from sclong_core.nn.softmax import Keys, SoftmaxAttention

_CPU_BLOCK_BYTES = 20 << 20
"""Largest intermediate result of a block on a CPU. The C library hands out memory of up to 32 MiB
again and again; beyond that, every result costs new pages."""

_CPU_BLOCK_PHI = 2_048 * 266
"""Elements of phi of one head in a block on a CPU, which should stay in the cache: 2,048 positions
of the paper's model."""

FEED_FORWARD_MULTIPLE = 4


class FeedForward(nn.Module):
    """``Linear(dim, 4 dim)``, exact GELU, ``Linear(4 dim, dim)``."""

    def __init__(self, dim: int) -> None:
        """Make the two projections."""
        super().__init__()
        self.hidden = Product(dim, FEED_FORWARD_MULTIPLE * dim, gelu=True)
        self.output = Product(FEED_FORWARD_MULTIPLE * dim, dim)

    def forward(self, x_bnc: Tensor) -> Tensor:
        """Apply to every position."""
        output: Tensor = self.output(self.hidden(x_bnc))
        return output


class PerformerLayer(nn.Module):
    """Attention, then feed-forward, each after a LayerNorm and added to its input."""

    def __init__(self, config: PerformerConfig, *, key: tuple[int, ...]) -> None:
        """Make one layer; ``key`` is (seed, encoder, layer) of its random features."""
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention: FavorAttention | SoftmaxAttention = (
            FavorAttention(config, key=key)
            if config.attention == "favor"
            else SoftmaxAttention(config)
        )
        self.feed_forward_norm = nn.LayerNorm(config.dim)
        self.feed_forward = FeedForward(config.dim)

    def forward(self, x_bnc: Tensor) -> Tensor:
        """``(cells, positions, dim)`` to the same shape.

        FAVOR+ needs all positions only as a sum, so the layer runs over blocks of them: on a CPU no
        intermediate result is larger than a block.
        """
        blocks = self.blocks(x_bnc)
        keys = self.attention.summarise(self.attention_norm(block) for block in blocks)
        return join([self.update(block, keys) for block in blocks], dim=1)

    def read(self, context_bnc: Tensor) -> tuple[Tensor, KeySummary | Keys]:
        """A context after the layer, and what other positions need to read it."""
        keys = self.attention.summarise([self.attention_norm(context_bnc)])
        return self.update(context_bnc, keys), keys

    def blocks(self, x_bnc: Tensor) -> tuple[Tensor, ...]:
        """The positions in blocks; all at once on an accelerator or where kernels are fused."""
        cells, positions, _ = x_bnc.shape
        favor = self.attention if isinstance(self.attention, FavorAttention) else None
        if x_bnc.device.type == "cpu" and favor is not None and not favor.fused:
            widest = max(
                self.attention.key_value.out_features, self.feed_forward.hidden.out_features
            )
            bytes_a_position = widest * self.feed_forward.hidden.weight.element_size()
            features = favor.features.shape[0]
            positions = min(_CPU_BLOCK_PHI // features, _CPU_BLOCK_BYTES // bytes_a_position)
            positions //= cells
        return tuple(x_bnc.split(max(1, positions), dim=1))

    def update(self, x_bnc: Tensor, keys: KeySummary | Keys) -> Tensor:
        """Positions after the layer, each by itself: it reads what ``keys`` are of."""
        x_bnc = x_bnc + self.attention(self.attention_norm(x_bnc), keys)
        updated: Tensor = x_bnc + self.feed_forward(self.feed_forward_norm(x_bnc))
        return updated


class Performer(nn.Module):
    """A stack of :class:`PerformerLayer`.

    Shape:
        input and output ``(cells, positions, dim)``.
    """

    def __init__(self, config: PerformerConfig, *, key: tuple[int, ...]) -> None:
        """Make the stack; ``key`` is (seed, encoder) of its random features."""
        super().__init__()
        self.layers = nn.ModuleList(
            PerformerLayer(config, key=(*key, layer)) for layer in range(config.depth)
        )
        self.activation_checkpointing = False

    def redraw_features(self, redraw_index: int) -> None:
        """Redraw the random features of every layer."""
        for module in self.modules():
            if isinstance(module, FavorAttention):
                module.redraw(redraw_index)

    def forward(self, x_bnc: Tensor) -> Tensor:
        """Apply the layers in order, recomputing them in backward where asked to save memory."""
        for layer in self.layers:
            if self.activation_checkpointing and self.training:
                x_bnc = checkpoint(layer, x_bnc, use_reentrant=False, preserve_rng_state=False)
            else:
                x_bnc = layer(x_bnc)
        return x_bnc

    def read(self, context_bnc: Tensor) -> tuple[Tensor, list[KeySummary | Keys]]:
        """Apply the layers to a context, and keep what :meth:`ask` needs of each."""
        kept = []
        for layer in self.layers:
            assert isinstance(layer, PerformerLayer)
            context_bnc, keys = layer.read(context_bnc)
            kept.append(keys)
        return context_bnc, kept

    def ask(self, asked_bkc: Tensor, kept: list[KeySummary | Keys]) -> Tensor:
        """Apply the layers to positions that read a context and are read by none.

        Each is alone with the context: they may come in any blocks.
        """
        for layer, keys in zip(self.layers, kept, strict=True):
            assert isinstance(layer, PerformerLayer)
            asked_bkc = layer.update(asked_bkc, keys)
        return asked_bkc
