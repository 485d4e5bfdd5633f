"""One process at a time in a folder."""

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sclong_core.errors import ScLongError

_LOG = logging.getLogger("sclong")
_HELD = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What file systems say that have no locks, as Lustre when it is mounted without them."""


class LockedError(ScLongError):
    """Another process is at work there."""


@contextmanager
def locked(path: str | os.PathLike[str], what: str, *, inherited: bool = True) -> Iterator[int]:
    """Hold a lock while the body runs.

    The system holds it for the process, so that the lock of one that was killed is free at once. It
    works between machines where the file system has locks (NFS 4, Lustre, GPFS); where it has none
    that is reported, and the body runs. The file says who holds it, and stays.

    Args:
        path: the file; its folder must exist.
        what: is locked, for the message: "the corpus in FOLDER".
        inherited: processes that are started with the open file hold the lock too, as long as they
            live. Else they never do, and it is free when this one ends; but a second lock of this
            same process is not refused.

    Yields:
        The open file.

    Raises:
        LockedError: another process holds it.
    """
    path = Path(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    lock = fcntl.flock if inherited else fcntl.lockf
    try:
        try:
            lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                holder = path.read_text(encoding="utf-8").strip() or "another process"
                raise LockedError(
                    f"{what} is being written by {holder}: wait for it, or stop it first"
                ) from error
            if error.errno not in _NO_LOCKS:
                raise
            _LOG.warning(
                (
                    "%s cannot be locked because its file system has no locks: make sure "
                    "that nothing else writes there"
                ),
                what,
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield descriptor
    finally:
        os.close(descriptor)
