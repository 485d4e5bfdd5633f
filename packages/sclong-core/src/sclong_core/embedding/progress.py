"""Progress over cells: how many a second, how much time is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
            return Text("" if speed is None else f"{speed:,.2f} cells/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda cells: bar.advance(task, cells)
