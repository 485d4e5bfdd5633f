"""Where data sets come from: public archives and folders."""

from sclong_data.sources.cellblast import CellBlast
from sclong_data.sources.cellxgene import CellxGene
from sclong_data.sources.census import Census
from sclong_data.sources.filters import Filters
from sclong_data.sources.hca import HumanCellAtlas
from sclong_data.sources.local import LocalFolder
from sclong_data.sources.source import Source

__all__ = [
    "CellBlast",
    "CellxGene",
    "Census",
    "Filters",
    "HumanCellAtlas",
    "LocalFolder",
    "Source",
]
