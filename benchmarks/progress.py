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
        """Count ``planned`` seconds of the plan as done, or as left out."""
        self._done += planned

    def say(self, text: str) -> None:
        """Write a line with the time left."""
        elapsed = time.monotonic() - self._start
        pace = elapsed / self._done if self._done > 0 else 1.0
        left = max(0.0, self._planned - self._done) * pace
        print(f"[{_clock(elapsed)} gone, about {_clock(left)} left] {text}", file=sys.stderr)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
