"""Which genes are alike to a model in which cells: ``sclong network``."""

from sclong_tasks.network.cells import RECORD, network

__all__ = ["RECORD", "network"]
