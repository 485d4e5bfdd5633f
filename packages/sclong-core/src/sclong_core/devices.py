"""Where PyTorch computes: the device that a user names, and how many threads a CPU uses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sclong_core.errors import ConfigError


def find_device(device: str | torch.device) -> torch.device:
    """A device of this machine; "auto" is a GPU if there is one.

    Raises:
        ConfigError: there is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"there is no device {str(device)!r} on this machine") from error
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread of the CPU.

    A small model gains little from more threads. Where other programs use the cores it loses much:
    threads wait for each other by spinning. On a busy machine with two cores, sclong-mini embedded
    2,700 cells in 16 s with one thread, and in 53 to 95 s with two.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
