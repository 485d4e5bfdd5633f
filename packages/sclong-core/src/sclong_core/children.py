"""Processes of our own program: how they are started, and how they are ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PATIENCE = 2.0
"""Seconds in which a process may end itself after an interrupt."""
_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()


def own_command(words: Sequence[str]) -> list[str]:
    """The command that runs ``sclong`` in a process of its own.

    Python with ``-m`` would look for modules in the current folder first, and run a ``yaml.py``
    that lies there; ``-P`` keeps it from that.
    """
    return [sys.executable, "-P", "-m", "sclong_core", *words]


def own_environment(**changes: str) -> dict[str, str]:
    """The environment of such a process, whose children do not look in the current folder either.

    An empty or relative entry of PYTHONPATH is the current folder, or in it, and is left out.
    """
    environment = {**os.environ, "PYTHONSAFEPATH": "1", **changes}
    places = environment.pop("PYTHONPATH", "").split(os.pathsep)
    kept = os.pathsep.join(place for place in places if Path(place).is_absolute())
    return {**environment, "PYTHONPATH": kept} if kept else environment


def run_child(words: Sequence[str], **options: Any) -> int:
    """Run ``sclong`` in a process of its own and wait for it; returns its exit status.

    Args:
        words: behind ``sclong``.
        options: of :class:`subprocess.Popen`.
    """
    child = subprocess.Popen(own_command(words), **options)  # noqa: S603  # our own, no shell
    with _lock:
        _running.add(child)
    try:
        return child.wait()
    finally:
        with _lock:
            _running.discard(child)


def interrupt_children() -> None:
    """End all processes that :func:`run_child` waits for: by an interrupt, then by force."""
    with _lock:
        found = list(_running)
    for child in found:
        with contextlib.suppress(OSError):
            child.send_signal(signal.SIGINT)
    for child in found:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_PATIENCE)
    for child in found:
        if child.poll() is None:
            end_processes([*descendants(child.pid), child.pid])


def end_processes(numbers: Sequence[int]) -> None:
    """Kill processes; those that have ended already are skipped."""
    for number in numbers:
        with contextlib.suppress(OSError):
            os.kill(number, signal.SIGKILL)


def descendants(process: int) -> list[int]:
    """Processes that a process has started, and theirs; none where the system does not tell."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                found += [child, *descendants(child)]
    return found
