"""What every source of data sets can do."""

from typing import Protocol

from sclong_data.dataset_manifest import DatasetEntry
from sclong_data.sources.filters import Filters


class Source(Protocol):
    """A catalogue of data sets."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def list(self, filters: Filters) -> "list[DatasetEntry]":
        """The data sets that fit.

        Raises:
            InputError: the catalogue cannot be had, or has another shape than it should.
        """
        ...
