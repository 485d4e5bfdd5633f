"""Labels for cells from labelled ones: ``sclong annotate``."""

from sclong_tasks.annotation.cells import annotate
from sclong_tasks.annotation.reference import Reference
from sclong_tasks.annotation.transfer import Annotation, annotate_vectors

__all__ = ["Annotation", "Reference", "annotate", "annotate_vectors"]
