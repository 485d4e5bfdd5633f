"""Progress over cells: how many a second, how much time is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sclong_core.escaping import for_terminal
from sclong_core.progress import progress_bars


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
