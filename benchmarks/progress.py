"""One line for each measurement, with the time left."""

import sys
import time


class Progress:
    """Foretells the time left from the seconds that were planned for what is done.

    Args:
        planned: seconds of everything.
    """

    def __init__(self, planned: float) -> None:
        self._planned = planned
        self._done = 0.0
        self._start = time.monotonic()

    def finish(self, planned: float) -> None:
        """Count ``planned`` seconds of the plan as done."""
        self._done += planned

    def leave_out(self, planned: float) -> None:
        """Take ``planned`` seconds out of the plan."""
        self._planned -= planned

    @property
    def pace(self) -> float:
        """Seconds it took for each planned one so far; 1 before anything is done."""
        return (time.monotonic() - self._start) / self._done if self._done > 0 else 1.0

    def say(self, text: str) -> None:
        """Write a line with the time left."""
        elapsed = time.monotonic() - self._start
        left = max(0.0, self._planned - self._done) * self.pace
        print(f"[{_clock(elapsed)} gone, about {_clock(left)} left] {text}", file=sys.stderr)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
