"""One run at a time in a corpus folder."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sclong_core.errors import InputError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock while the body runs.

    The system holds it for the process, so that the lock of one that was killed is free at once.
    The file says who holds it, and stays.

    Args:
        path: the file; its folder must exist.

    Raises:
        InputError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text(encoding="utf-8").strip() or "another process"
            raise InputError(
                f"{path.parent.parent} is being written by {holder}: wait for it, or end it first"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(descriptor)
