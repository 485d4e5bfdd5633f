"""Reading data sets in blocks of cells, whatever format they are in."""

from sclong_data.reading.axes import GENES_AXIS
from sclong_data.reading.opening import open_dataset

__all__ = ["GENES_AXIS", "open_dataset"]
