"""Writes the checkpoints that the benchmarks load: ``python -m benchmarks.prepare SIZE FOLDER``.

Random weights at a preset's size, once in float32 and once in bfloat16, as ``FOLDER/float32`` and
``FOLDER/bfloat16``. A process of its own, so that no memory figure contains it.
"""

import sys
from pathlib import Path

import torch

from benchmarks.data import numbered_vocabulary, random_graph
from sclong_core.checkpoint import save_checkpoint
from sclong_core.config import ScLongConfig
from sclong_core.model import ScLong


def write_checkpoints(size: str, folder: Path) -> None:
    """Write both checkpoints of the preset ``size``."""
    config = ScLongConfig.preset(size)
    torch.default_generator.manual_seed(0)
    model = ScLong(config, numbered_vocabulary(config.genes), random_graph(config.genes))
    for precision in (torch.float32, torch.bfloat16):
        name = str(precision).removeprefix("torch.")
        save_checkpoint(model.set_dtype(precision), folder / name)


if __name__ == "__main__":
    write_checkpoints(sys.argv[1], Path(sys.argv[2]))
