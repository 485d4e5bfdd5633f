"""Genes deleted or overexpressed in the input of a model: ``sclong perturb``."""

from sclong_tasks.in_silico.cells import RECORD, perturb

__all__ = ["RECORD", "perturb"]
