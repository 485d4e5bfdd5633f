"""How a suite that is being run goes: a live table on a terminal, lines elsewhere."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sclong_bench.suites.duration import duration
from sclong_bench.suites.grid import RunOutcome
from sclong_bench.suites.suite import GridRun, Suite
from sclong_core.cli.terminal import is_interactive
from sclong_core.escaping import for_terminal

_LOG = logging.getLogger("sclong")


class Watch:
    """Counts and shows outcomes while the body runs.

    Args:
        suite: what is run.
        runs: of it, those that are to be made.
        jobs: how many are made at a time.
    """

    def __init__(self, suite: Suite, runs: Sequence[GridRun], *, jobs: int) -> None:
        self._jobs = jobs
        self._left = Counter((run.task, run.model) for run in runs)
        self._failed: Counter[tuple[str, str]] = Counter()
        self._done = Counter((run.task, run.model) for run in suite.runs)
        self._done.subtract(self._left)
        self._lasted: list[float] = []
        self._start = time.monotonic()
        self.made = 0
        """Runs that were made."""
        self.elsewhere = 0
        """Runs that other runners were at."""
        self._live = Live(console=Console(stderr=True), auto_refresh=True, refresh_per_second=2)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._start

    @property
    def seconds_left(self) -> float | None:
        """For what is left, going by the runs that were made; None before the first of them."""
        left = self._left.total()
        if left == 0:
            return 0.0
        if not self._lasted:
            return None
        return left * sum(self._lasted) / len(self._lasted) / self._jobs

    def __enter__(self) -> Self:
        if is_interactive():
            self._live.get_renderable = self.table  # type: ignore[method-assign]  # asked each time
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def note(self, outcome: RunOutcome) -> None:
        """Count an outcome, and say it."""
        key = (outcome.run.task, outcome.run.model)
        self._left[key] -= 1
        if outcome.state == "elsewhere":
            self.elsewhere += 1
            return
        self._lasted.append(outcome.seconds)
        counts = self._failed if outcome.state == "failed" else self._done
        counts[key] += 1
        self.made += outcome.state == "done"
        level = logging.ERROR if outcome.state == "failed" else logging.INFO
        _LOG.log(
            level,
            "%s: %s in %s%s; %d left, %s",
            outcome.run.name,
            outcome.state,
            duration(outcome.seconds),
            f" ({outcome.reason})" if outcome.reason else "",
            self._left.total(),
            duration(self.seconds_left),
        )

    def table(self) -> Table:
        """What is done, failed and left of each model."""
        table = Table(
            caption=f"{duration(self.seconds)} so far, {duration(self.seconds_left)} left"
        )
        for heading in ("task", "model", "done", "failed", "left"):
            table.add_column(heading)
        for task, model in sorted(self._done):
            key = (task, model)
            counts = (self._done[key], self._failed[key], self._left[key])
            names = map(for_terminal, (task, model))
            table.add_row(*map(Text, (*names, *map(str, counts))))
        return table
