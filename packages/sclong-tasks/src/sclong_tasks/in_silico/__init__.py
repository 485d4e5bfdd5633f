"""Genes in the input of a model: changed by ``sclong perturb``, ranked by ``sclong explain``."""

from sclong_tasks.in_silico.cells import RECORD, perturb
from sclong_tasks.in_silico.explaining import EXPLANATION, explain

__all__ = ["EXPLANATION", "RECORD", "explain", "perturb"]
