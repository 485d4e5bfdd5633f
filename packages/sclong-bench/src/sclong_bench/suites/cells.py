"""Former place of :mod:`sclong_bench.suites.grid`; it goes with the next release."""

import warnings

from sclong_bench.suites.grid import RunOutcome, command_of, make, metrics_of, seconds_of, state_of

__all__ = ["RunOutcome", "command_of", "make", "metrics_of", "seconds_of", "state_of"]
warnings.warn(
    "sclong_bench.suites.cells is now sclong_bench.suites.grid", DeprecationWarning, stacklevel=2
)
