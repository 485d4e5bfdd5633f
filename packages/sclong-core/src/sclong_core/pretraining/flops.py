"""Floating-point operations of a cell, counted from the configuration.

One multiplication with its addition counts as two. For ``n`` positions of width ``c``, inner width
``i``, ``h`` heads of width ``d`` and ``m`` random features a layer has::

    dense   n (3 c i + i c + 8 c^2)     queries, keys, values, output; feed-forward
    FAVOR+  n h m (4 d + 2)             features of queries and keys, two products, two sums

multiplications. The backward pass costs twice the forward pass.
"""

from sclong_core.config import PerformerConfig, ScLongConfig

BACKWARD = 2
"""Cost of the backward pass in forward passes."""


def positions(config: ScLongConfig) -> dict[str, int]:
    """Positions that each encoder runs over; the PAD position is one of them."""
    if config.context is not None:
        high, low = config.high_genes, config.context.low_genes
        return {"large": high, "mini": low, "full": high + low}
    everything = config.genes + 1
    low = everything - config.high_genes
    if config.low_expression == "none":
        return {"large": config.high_genes, "full": config.high_genes}
    return {"large": config.high_genes, "mini": low, "full": everything}


def flops_per_cell(config: ScLongConfig) -> float:
    """FLOP of a cell in training: forward and backward.

    The gene embedding, computed once a batch, and all element-wise work are left out.
    """
    encoders = sum(
        _performer(getattr(config, name), count) for name, count in positions(config).items()
    )
    outside = config.high_genes * 2 * config.dim * config.large.dim
    embedded = config.genes + 1 if config.context is None else positions(config)["full"]
    outside += embedded * config.expression_hidden * (1 + config.dim)
    return 2.0 * (encoders + outside) * (1 + BACKWARD)


def _performer(config: PerformerConfig, count: int) -> int:
    dense = 4 * config.dim * config.inner + 8 * config.dim**2
    favor = config.heads * config.features * (4 * config.dim_head + 2)
    return config.depth * count * (dense + favor)
