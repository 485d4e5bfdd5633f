"""Ctrl-C ends a command within seconds, whatever it is at, and all that it has started."""

import contextlib
import os
import signal
import threading
import time

from sclong_core.children import descendants, end_processes

INTERRUPTED = 130
"""Exit status of a command that was interrupted."""
SAID = threading.Event()
"""Set once the command has said that it was interrupted."""
_PATIENCE = 4.0
"""Seconds in which a command may end itself after Ctrl-C."""


def watch_interrupts() -> None:
    """End this process with status 130 if it is still there seconds after Ctrl-C.

    Python raises KeyboardInterrupt when the library call that it is in has come to its end, which
    may take minutes, and libraries catch it and wait for threads or processes. Files appear whole
    or not at all, so that an end at any moment costs nothing but the work since the last of them.
    Nothing happens where the process was started with Ctrl-C ignored.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_watch, args=(reader,), name="interrupts", daemon=True).start()


def _watch(reader: int) -> None:
    """Read the numbers of signals, which the system writes even while a library computes."""
    while signal.SIGINT not in os.read(reader, 64):
        pass
    time.sleep(_PATIENCE)
    if not SAID.is_set():
        with contextlib.suppress(OSError):
            os.write(2, b"error: interrupted\n")
    end_processes(descendants(os.getpid()))
    os._exit(INTERRUPTED)
