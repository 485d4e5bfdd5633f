"""How far a run is: told to whoever asks, and drawn where someone watches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from sclong_core.progress import progress_bars

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class Progress(Protocol):
    """Told how far a run is."""

    def stage(self, name: str, total: int) -> None:
        """Something new begins, of ``total`` data sets or cells."""

    def advance(self, amount: int) -> None:
        """So many more are done."""


class Silent:
    """Progress that nobody watches."""

    def stage(self, name: str, total: int) -> None:
        """Nothing."""

    def advance(self, amount: int) -> None:
        """Nothing."""


class _Drawn:
    """One bar, of the stage that is under way."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        """A new bar in place of the last."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(name, total=total)

    def advance(self, amount: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task, amount)


@contextmanager
def drawn_progress(*, shown: bool) -> Iterator[Progress]:
    """Progress with rate and time left on standard error, if it is to be shown."""
    if not shown:
        yield Silent()
        return
    with progress_bars("{:,.1f}/s", transient=True) as bars:
        yield _Drawn(bars)
