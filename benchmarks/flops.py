"""Floating-point operations of the model's matrix products, counted from its configuration."""

from sclong_core.config import PerformerConfig, ScLongConfig

TRAINING_MULTIPLE = 3
"""Backward takes two products for each of forward. Recomputed layers are not counted."""

PEAK_BFLOAT16 = {
    "A100": 312e12,
    "A30": 165e12,
    "A40": 150e12,
    "L4": 121e12,
    "L40S": 362e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
}
"""Dense bfloat16 operations a second by device, from the makers' data sheets."""


def forward_flops(config: ScLongConfig) -> float:
    """Operations of one cell's forward pass: the three encoders, which are all but all of it."""
    low = config.genes + 1 - config.high_genes
    return (
        encoder_flops(config.large, config.high_genes)
        + encoder_flops(config.mini, low)
        + encoder_flops(config.full, config.genes + 1)
    )


def encoder_flops(config: PerformerConfig, positions: int) -> float:
    """Operations of one Performer: its dense layers and four products with random features."""
    dense = 4 * config.inner * config.dim + 8 * config.dim * config.dim
    features = 4 * config.inner * config.features
    return 2.0 * positions * config.depth * (dense + features)


def peak_bfloat16(device_name: str) -> float | None:
    """The peak of the device whose name contains the longest known one, None if none does."""
    known = [name for name in PEAK_BFLOAT16 if set(name.split()) <= set(_words(device_name))]
    return PEAK_BFLOAT16[max(known, key=len)] if known else None


def _words(device_name: str) -> list[str]:
    return device_name.replace("-", " ").split()
