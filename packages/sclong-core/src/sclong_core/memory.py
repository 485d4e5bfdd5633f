"""Whether an error says that memory is short, whichever library raised it."""

import errno
import re

from sclong_core.errors import causes

_WORDS = re.compile(
    r"can(no|')t allocate memory|not enough memory|out of memory|unable to allocate|bad_alloc"
    r"|failed to map segment|\bMemoryError\b|unable to mmap|can't start new thread"
    r"|(malloc|memory allocation|allocation) (has )?failed|insufficient memory",
    re.I,
)
"""What the loader of libraries, PyTorch, HDF5, safetensors, Arrow and threads say."""
_LOST = re.compile(r"without exception set|without setting an exception")
"""What the interpreter says where a library forgot to raise that it had no memory."""


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an error, or the one that it came of, is for want of memory."""
    for seen in causes(error):
        if isinstance(seen, MemoryError):
            return True
        if isinstance(seen, OSError) and seen.errno == errno.ENOMEM:
            return True
        if isinstance(seen, SystemError) and _LOST.search(str(seen)):
            return True
        if isinstance(seen, RuntimeError | ImportError | OSError) and _WORDS.search(str(seen)):
            return True
    return False


def shortage(error: BaseException) -> str:
    """What went wrong, and what to do about it, in words for a user."""
    reason = " ".join(str(error).split())[:200]
    return (
        f"there is not enough memory{f' ({reason})' if reason else ''}: ask for less at a time, or "
        "use a machine with more memory"
    )
