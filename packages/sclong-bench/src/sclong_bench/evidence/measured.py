"""One number of the evidence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """One number, with an interval over cells where there is one."""

    task: str
    protocol: str
    scenario: str
    """The data set."""
    metric: str
    value: float
    n: int
    unit: str
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = True
