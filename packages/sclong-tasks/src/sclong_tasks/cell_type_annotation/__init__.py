"""Cell-type annotation: which type is a cell of, learned from cells of other donors?"""

from sclong_tasks.cell_type_annotation.task import CellTypeAnnotation

task = CellTypeAnnotation()

__all__ = ["CellTypeAnnotation", "task"]
