"""Random features of FAVOR+: drawn by performer-pytorch from a generator of their own."""

import numpy as np
import torch
from torch import Tensor

EPSILON = 1e-4
"""Added to each feature of a query and a key, as in performer-pytorch."""


def draw_features(count: int, dim_head: int, *, key: tuple[int, ...]) -> Tensor:
    """Orthogonal random features as a pure function of ``key``.

    Blocks of ``dim_head`` orthogonal rows whose norms are those of Gaussian vectors (Choromanski et
    al., "Rethinking Attention with Performers"). The global random state is left as it was, so that
    redrawing never changes what else a run draws, and every rank draws the same.

    Args:
        count: number of features, ``m``.
        dim_head: width of a head.
        key: non-negative integers, here (seed, encoder, layer, redraw index).

    Returns:
        ``(count, dim_head)`` float32 on the CPU.
    """
    from performer_pytorch.performer_pytorch import (  # noqa: PLC0415  # loads slowly
        gaussian_orthogonal_random_matrix,
    )

    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # Not torch.manual_seed: it would reseed the accelerators too, which fork_rng(devices=[])
        # does not put back.
        torch.default_generator.manual_seed(seed)
        features: Tensor = gaussian_orthogonal_random_matrix(count, dim_head, device="cpu")
    return features
