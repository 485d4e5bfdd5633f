"""Which kernels compute FAVOR+ attention: a choice of a run, not of a model."""

import os
from importlib.util import find_spec
from typing import Literal, get_args

import torch

from sclong_core.errors import ConfigError

AttentionKernels = Literal["auto", "blocks", "fused"]
"""``blocks``: PyTorch's own products, in blocks that suit a CPU. ``fused``: the kernels of
:mod:`sclong_core.nn.fused`. ``auto``: blocks, as long as nobody has measured that the others are
faster."""


def use_fused(kernels: AttentionKernels) -> bool:
    """Whether a choice means the fused kernels.

    Raises:
        ConfigError: there is no such choice, or Triton is not installed.
    """
    if kernels not in get_args(AttentionKernels):
        raise ConfigError(f"attention must be auto, blocks or fused, not {kernels!r}")
    if kernels != "fused":
        return False
    if find_spec("triton") is None:
        raise ConfigError(
            "attention fused needs Triton, which is not installed: run pip install "
            "'sclong-core[gpu]' (Linux), or choose attention blocks"
        )
    return True


def require_fused(device: torch.device) -> None:
    """Refuse a device that the fused kernels do not run on.

    Raises:
        ConfigError: it is not a CUDA device, and Triton does not interpret.
    """
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ConfigError(
            f"attention fused needs a CUDA device, and the model is on {device.type}: choose "
            "attention blocks. To check the kernels on a CPU, very slowly, set TRITON_INTERPRET=1"
        )
