"""One process at a time in a folder."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sclong_core.errors import ScLongError


class LockedError(ScLongError):
    """Another process is at work there."""


@contextmanager
def locked(path: str | os.PathLike[str], what: str) -> Iterator[int]:
    """Hold a lock while the body runs.

    The system holds it for the process, so that the lock of one that was killed is free at once. It
    works between machines where the file system has locks (NFS 4, Lustre, GPFS). The file says who
    holds it, and stays.

    Args:
        path: the file; its folder must exist.
        what: is locked, for the message: "the corpus in FOLDER".

    Yields:
        The open file. A process that inherits it holds the lock too.

    Raises:
        LockedError: another process holds it.
    """
    path = Path(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text(encoding="utf-8").strip() or "another process"
            raise LockedError(
                f"{what} is being written by {holder}: wait for it, or end it first"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield descriptor
    finally:
        os.close(descriptor)
