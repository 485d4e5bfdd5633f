"""Noticing that one of the processes that embed together has ended.

Lightning kills the first process without a word when one that it started has failed. The others
wait for each other in a library that may take days to give up. Here the first process says what
happened, and the others follow it.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from sclong_core.errors import ScLongError

_OBSERVER = "_launch_process_observer"
"""Lightning's own watch over the processes that it starts."""
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 10.0
"""For the first process to end by itself, once another is lost."""
_LOST = re.compile(
    r"connection (?:closed|reset|refused|was)|gloo|nccl|broken pipe|socket|tcpstore|timed? ?out",
    re.IGNORECASE,
)
"""What the library says that lets processes wait for each other, when one is gone."""
_KEPT = "finished blocks are kept; repeat the command with --resume to continue"


class RankWatch:
    """Watches over the processes that Lightning starts, from the first one.

    Args:
        launching: the module of Lightning that starts them.
    """

    def __init__(self, launching: ModuleType) -> None:
        self._launching = launching
        self._lost = ""
        self._noticed = threading.Event()
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch in the place of Lightning while the body runs."""
        if os.environ.get("LOCAL_RANK", "0") != "0" and "TORCHELASTIC_RUN_ID" not in os.environ:
            _start(_follow, os.getppid())
        real = getattr(self._launching, _OBSERVER, None)
        setattr(self._launching, _OBSERVER, lambda started: _start(self._watch, started))
        try:
            yield
        except RuntimeError as error:
            if not _LOST.search(str(error)):
                raise
            self._noticed.wait(2 * _POLL_SECONDS)
            lost = self._lost or "another process of this run has ended"
            raise ScLongError(f"{lost}: {_KEPT}") from error
        finally:
            self._over.set()
            if real is not None:
                setattr(self._launching, _OBSERVER, real)

    def close(self) -> None:
        """The others are not needed any more."""
        self._over.set()

    def _watch(self, started: Sequence["subprocess.Popen[Any]"]) -> None:
        while not self._over.wait(_POLL_SECONDS):
            for rank, process in enumerate(started, 1):
                if process.poll():
                    self._lost = _describe(rank, process)
                    self._noticed.set()
                    for other in started:
                        other.kill()
                    if not self._over.wait(_GRACE_SECONDS):
                        _end(f"error: {self._lost}: {_KEPT}")
                    return


def _start(work: Callable[..., None], *words: Any) -> None:
    threading.Thread(target=work, args=words, daemon=True).start()


def _follow(first: int) -> None:
    """End when the first process, which started this one, has ended."""
    pause = threading.Event()
    while os.getppid() == first:
        pause.wait(_POLL_SECONDS)
    os._exit(2)


def _describe(rank: int, process: "subprocess.Popen[Any]") -> str:
    status = process.returncode
    if status >= 0:
        return f"process {rank} (PID {process.pid}) ended with status {status}"
    name = signal.Signals(-status).name
    hint = ", as the system does when memory is short" if name == "SIGKILL" else ""
    return f"process {rank} (PID {process.pid}) was ended by {name}{hint}"


def _end(line: str) -> NoReturn:
    """End from a thread: the main one waits for a process that is gone."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
    os._exit(2)
