"""The weights of a checkpoint as a safetensors file, every tensor where processors like it.

``safetensors.torch.save_file`` puts tensors at any multiple of 8 bytes. Matrix products round
differently on memory that does not start at a multiple of 64 bytes, so a model mapped from such a
file would differ in the last bit from the one that was saved. The format leaves the order of the
data and blanks behind the header free, which is all that is used here.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sclong_core.errors import CheckpointError

#: Bytes; what PyTorch gives every tensor that it allocates on a CPU.
ALIGNMENT = 64
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.bool: "BOOL",
}


def write_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write contiguous tensors of a CPU; those of whole 64-byte lines first, so all of them align.

    Raises:
        OSError: the disk is full or not writable.
    """
    order = sorted(tensors, key=lambda name: (tensors[name].nbytes % ALIGNMENT != 0, name))
    with path.open("wb") as file:
        file.write(_header(tensors, order))
        for name in order:
            if tensors[name].numel():
                file.write(tensors[name].reshape(-1).view(torch.uint8).numpy().data)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors, mapped from the file; only those that do not start on a line are copied.

    Raises:
        CheckpointError: it is not a whole safetensors file.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error
    return {
        name: tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor
        for name, tensor in tensors.items()
    }


def _header(tensors: Mapping[str, Tensor], order: list[str]) -> bytes:
    """Length and JSON, with blanks up to the first line of data."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in order:
        tensor = tensors[name]
        end = start + tensor.nbytes
        entries[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text
