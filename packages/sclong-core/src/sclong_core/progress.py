"""Progress bars on standard error: how far, how fast, how much time is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sclong_core.escaping import for_terminal

if TYPE_CHECKING:
    from rich.progress import Progress


def progress_bars(rate: str, *, transient: bool = False) -> "Progress":
    """Bars of the library rich, drawn while the result is entered as a context.

    Args:
        rate: how a number a second is written, for example ``"{:,.1f}/s"``.
        transient: take the bars away at the end.
    """
    from rich.console import Console  # noqa: PLC0415  # only where a bar is drawn
    from rich.progress import (  # noqa: PLC0415  # only where a bar is drawn
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text  # noqa: PLC0415  # only where a bar is drawn

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else rate.format(speed))

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=Console(stderr=True), transient=transient)


@contextmanager
def cell_progress(what: str, total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Give a function to call with each number of cells that was done.

    Args:
        what: is being done, for the person who waits.
        total: cells in all.
        shown: draw a bar on standard error; otherwise nothing is drawn.
    """
    if not shown:
        yield lambda _cells: None
        return
    with progress_bars("{:,.2f} cells/s") as bar:
        task = bar.add_task(for_terminal(what), total=total)
        yield lambda cells: bar.advance(task, cells)
