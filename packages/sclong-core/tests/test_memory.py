"""Too little memory is told apart from other errors, whoever raises it."""

import errno

import numpy as np
import pytest
import torch

from sclong_core.errors import is_short_of_memory, shortage

SHORT = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    RuntimeError("unable to mmap 6641148 bytes from file <model.safetensors>: Cannot allocate"),
    RuntimeError("can't start new thread"),
    RuntimeError("Caught MemoryError in DataLoader worker process 0.\nOriginal Traceback"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    SystemError("error return without exception set"),
]


@pytest.mark.parametrize("error", SHORT, ids=str)
def test_too_little_memory_is_known_whoever_says_so(error):
    assert is_short_of_memory(error)
    wrapped = ValueError("something else")
    wrapped.__cause__ = error
    assert is_short_of_memory(wrapped)
    assert "\n" not in shortage(error)


def test_what_numpy_says_of_an_array_that_cannot_be_is_known():
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 55)
    assert is_short_of_memory(caught.value)
    assert "Unable to allocate" in shortage(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ImportError("no module named memory"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("not enough memory cells in the table"),
    ],
    ids=str,
)
def test_other_errors_are_not_taken_for_it(error):
    assert not is_short_of_memory(error)
