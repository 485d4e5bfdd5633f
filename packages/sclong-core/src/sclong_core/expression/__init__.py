"""Expression input: files of cells, their genes, their normalisation, and blocks for the model."""

from sclong_core.expression.anndata_objects import source_from_anndata
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.genes import GeneMatch, match_genes
from sclong_core.expression.normalisation import check_values, normalise
from sclong_core.expression.opening import find_cell_files, open_cells
from sclong_core.expression.prepared import PreparedCells, ReadingOptions, prepare_cells
from sclong_core.expression.recognition import Normalisation, Recognition, recognise
from sclong_core.expression.surveys import Survey, survey

__all__ = [
    "CellSource",
    "GeneMatch",
    "Normalisation",
    "PreparedCells",
    "ReadingOptions",
    "Recognition",
    "Survey",
    "check_values",
    "find_cell_files",
    "match_genes",
    "normalise",
    "open_cells",
    "prepare_cells",
    "recognise",
    "source_from_anndata",
    "survey",
]
