"""All that a run has to tell."""

from collections.abc import Mapping
from dataclasses import dataclass

from sclong_bench.demo.data import DemoData
from sclong_bench.demo.evaluate import Floats
from sclong_bench.demo.record import Machine
from sclong_bench.demo.results import Row
from sclong_bench.demo.settings import DemoSettings
from sclong_bench.demo.shipped import Shipped
from sclong_bench.demo.train import Training


@dataclass(frozen=True)
class DemoRun:
    """What a run did, measured and came from."""

    settings: DemoSettings
    data: DemoData
    training: Training
    shipped: Shipped | None
    """The model that comes with the package; None where it does not know these genes."""
    rows: tuple[Row, ...]
    """All measurements."""
    maps: Mapping[str, Floats]
    """``(cells, 2)`` for each method."""
    digests: Mapping[str, str]
    """SHA-256 by what was digested."""
    versions: Mapping[str, str]
    """By package."""
    machine: Machine
    command: str
    """As typed."""
    seconds: Mapping[str, float]
    """Time of each stage."""
    total_seconds: float
    """Time from the start to the page."""
