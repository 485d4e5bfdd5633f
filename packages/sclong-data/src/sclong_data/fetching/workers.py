"""Work in several threads that an interrupt ends at once, whatever the threads wait for."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_GRACE_SECONDS = 2.0
"""For threads to notice that they should stop, before they are left behind."""
Task = TypeVar("Task")
Result = TypeVar("Result")


class StoppedError(Exception):
    """Nobody waits for the result any more."""


class Stop:
    """Says to threads that they should end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """End them."""
        self._event.set()

    def check(self) -> None:
        """Raise where the thread should end.

        Raises:
            StoppedError: it should.
        """
        if self._event.is_set():
            raise StoppedError

    def sleep(self, seconds: float) -> None:
        """Wait, or end early.

        Raises:
            StoppedError: the thread should end.
        """
        if self._event.wait(seconds):
            raise StoppedError


def in_threads(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int, stop: Stop
) -> Iterator[tuple[Task, Result]]:
    """Results as they come, each with its task.

    The threads are daemons: where this generator is left early, by an interrupt above all, they are
    told to stop and given two seconds. One that waits for a server by then does not keep the
    process.

    Args:
        work: what to do; an exception in it is raised here.
        tasks: what to do it with.
        workers: threads at a time.
        stop: is set when results are not wanted any more.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Task, Result | None, BaseException | None]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)

    def run() -> None:
        while True:
            try:
                stop.check()
                task = waiting.get_nowait()
            except (queue.Empty, StoppedError):
                return
            try:
                done.put((task, work(task), None))
            except BaseException as error:  # noqa: BLE001  # raised where the results are awaited
                done.put((task, None, error))

    threads = [
        threading.Thread(target=run, daemon=True, name=f"fetch-{number}")
        for number in range(min(max(1, workers), len(tasks)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in tasks:
            task, result, error = done.get()
            if error is not None:
                raise error
            yield task, result  # type: ignore[misc]  # there is one where there is no error
    finally:
        stop.set()
        end = time.monotonic() + _GRACE_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
