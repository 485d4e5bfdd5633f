"""Stages of a run in the terminal: what is being done, how far it is, how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_NAME_WIDTH = 16


@dataclass
class Stage:
    """A stage while it runs."""

    advance: Callable[[], None]
    """To be called after each step of a stage that has a known number of them."""
    outcome: str = ""
    """What came of it, in a few words; set it before the stage ends."""


@dataclass
class Stages:
    """Says on standard error what is being done; bars are drawn only where someone watches."""

    console: Console = field(default_factory=lambda: Console(stderr=True))
    seconds: dict[str, float] = field(default_factory=dict)
    """Time that each finished stage took."""

    @contextmanager
    def stage(self, name: str, doing: str, *, steps: int | None = None) -> Iterator[Stage]:
        """Run one stage; where it fails nothing is logged, because the error says it.

        Args:
            name: one or two words.
            doing: shown while it runs.
            steps: how often ``advance`` will be called, if known.
        """
        begun = time.monotonic()
        with self._bar(steps) as bar:
            task = bar.add_task(doing, total=steps)
            stage = Stage(advance=lambda: bar.advance(task))
            yield stage
        self.seconds[name] = time.monotonic() - begun
        line = Text.assemble(
            (f"{name:<{_NAME_WIDTH}}", "bold"), (f"{self.seconds[name]:7.1f} s  ", "dim")
        )
        self.console.print(line.append(stage.outcome), soft_wrap=True, highlight=False)

    def _bar(self, steps: int | None) -> Progress:
        counted = (BarColumn(), MofNCompleteColumn()) if steps is not None else ()
        left = (TextColumn("left"), TimeRemainingColumn()) if steps is not None else ()
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            *counted,
            TimeElapsedColumn(),
            *left,
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
