"""One process at a time, in a folder or at a file."""

import errno
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sclong_core.errors import ScLongError

_LOG = logging.getLogger("sclong")
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What file systems say that have no locks, as Lustre when it is mounted without them."""


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """The byte that is locked: Windows keeps others from reading what is."""

    def lock_file(descriptor: int, *, wait: bool = False, inherited: bool = True) -> None:  # noqa: ARG001  # none is
        """Lock an open file for this process; there are no locks that children hold too."""
        while True:
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if not wait:
                    raise BlockingIOError(errno.EAGAIN, "another process holds it") from error
            else:
                return
            finally:
                os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def lock_file(descriptor: int, *, wait: bool = False, inherited: bool = True) -> None:
        """Lock an open file until it is closed; the system unlocks it when the process ends.

        Args:
            descriptor: of the file.
            wait: for a process that holds it.
            inherited: see :func:`locked`.

        Raises:
            BlockingIOError: another process holds it.
            OSError: its file system has no locks.
        """
        lock = fcntl.flock if inherited else fcntl.lockf
        try:
            lock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except PermissionError as error:  # what some systems say in the place of the other
            raise BlockingIOError(errno.EAGAIN, str(error)) from error


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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            lock_file(descriptor, inherited=inherited)
        except BlockingIOError as error:
            holder = path.read_text(encoding="utf-8").strip() or "another process"
            raise LockedError(
                f"{what} is being written by {holder}: wait for it, or stop it first"
            ) from error
        except OSError as error:
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
