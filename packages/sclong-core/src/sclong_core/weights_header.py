"""The header of a weights file, compared with a configuration before anything is built of either.

A configuration of a few bytes can ask for a model of any size. Its sizes must be found in the
weights, whose file has as many bytes as they take. Needs neither PyTorch nor the weights in memory.
"""

import math
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from sclong_core.config import PerformerConfig, ScLongConfig, StudentConfig
from sclong_core.errors import CheckpointError


class Stored(NamedTuple):
    """A tensor of the file."""

    dtype: str
    """As safetensors writes it, such as "F32"."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Numbers it holds."""
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, Stored]:
    """Names, types and shapes of the tensors of a safetensors file.

    Raises:
        CheckpointError: it is not a whole safetensors file.
    """
    try:
        with safe_open(path, framework="np") as weights:
            slices = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118  # not a mapping
            return {
                name: Stored(part.get_dtype(), tuple(part.get_shape()))
                for name, part in slices.items()
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error


def check_sizes(config: ScLongConfig, header: dict[str, Stored], path: Path) -> None:
    """Refuse a configuration of a model that is larger than its weights.

    This bounds what is built; whether each tensor fits is compared afterwards.

    Raises:
        CheckpointError: the weights cannot be those of such a model.
    """
    tensors, numbers = len(header), sum(stored.size for stored in header.values())
    if config.student is not None:
        _check_student(config.genes, config.student, tensors, numbers, path)
        return
    built = ("large", "full") if config.low_expression == "none" else ("large", "mini", "full")
    encoders: list[tuple[str, PerformerConfig]] = [(name, getattr(config, name)) for name in built]
    needed = {"the table of genes": config.genes * config.dim}
    needed["the expression embedding"] = config.expression_hidden * config.dim
    for name, encoder in encoders:
        features = max(encoder.dim_head, encoder.random_features or 0) * encoder.dim_head
        needed[f"a layer of the {name} encoder"] = max(encoder.dim * encoder.inner, features)
        if encoder.depth > tensors:
            raise CheckpointError(
                f"{path} does not fit its configuration: it has {tensors:,} tensors, fewer than "
                f"the {name} encoder has layers ({_shown(encoder.depth)})"
            )
    for what, size in needed.items():
        if size > numbers:
            raise CheckpointError(
                f"{path} does not fit its configuration: it holds {numbers:,} numbers, {what} "
                f"alone needs {_shown(size)}"
            )


def _check_student(
    genes: int, student: StudentConfig, tensors: int, numbers: int, path: Path
) -> None:
    """Refuse a student that is larger than its weights; see :func:`check_sizes`."""
    needed = 2 * genes * student.rank + student.width**2
    needed += student.hidden * (2 * student.rank + 2 * student.blocks * student.inner)
    if student.blocks > tensors or needed > numbers:
        raise CheckpointError(
            f"{path} does not fit its configuration: it holds {numbers:,} numbers in {tensors:,} "
            f"tensors, the student needs {_shown(needed)}"
        )


def _shown(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"{number:.3g}" if number < 10**300 else "far more"
