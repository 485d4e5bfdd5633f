"""Labels for cells from labelled ones: ``sclong annotate``."""

from sclong_tasks.annotation.reference import Reference
from sclong_tasks.annotation.transfer import Annotation, annotate

__all__ = ["Annotation", "Reference", "annotate"]
