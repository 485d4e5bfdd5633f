"""The four kinds of errors, and what those of other libraries mean."""

import errno
import re
from collections.abc import Iterator


class ScLongError(Exception):
    """Base of every error that scLong raises on purpose.

    The message is a single line for the person in front of the terminal. The command line prints
    it without a traceback and exits with status 2.
    """


class InputError(ScLongError):
    """Cells, genes or expression values that cannot be used as they are."""


class CheckpointError(ScLongError):
    """A checkpoint that is incomplete, damaged, or does not belong to what it is used with."""


class ConfigError(ScLongError, ValueError):
    """A setting that is unknown, impossible, or contradicts another one."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it came of, what that came of, and so on."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


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
        f"there is not enough memory{f' ({reason})' if reason else ''}: process less at "
        "a time, or use a machine with more memory"
    )


_READER = re.compile(
    r"DataLoader worker \(pid(\(s\))? [\d, ]+\) (exited unexpectedly|is killed by)"
)
_RANK = re.compile(
    r"(gloo|nccl|ProcessGroup|distributed).*(closed by peer|reset by peer|remote process exited"
    r"|socket closed|broken pipe|unhandled system error)", re.I | re.S,
)  # fmt: skip
"""What PyTorch says to the ranks that are left."""


def lost_process(error: BaseException) -> str | None:
    """What has died, and what to do about it, in words for a user; None for another error."""
    for seen in causes(error):
        reason = " ".join(str(seen).split())[:200]
        if isinstance(seen, RuntimeError) and _READER.search(str(seen)):
            return (
                f"a process that reads cells has died ({reason}): it was killed, or "
                "memory ran out; repeat the command, with fewer workers if it happens "
                "again"
            )
        if isinstance(seen, RuntimeError) and _RANK.search(str(seen)):
            return (
                f"another process of this run has died ({reason}): check its output; "
                "repeat the command to resume"
            )
    return None
