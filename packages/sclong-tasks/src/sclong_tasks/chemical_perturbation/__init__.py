"""Chemical perturbation after DeepCE: what a drug does to the landmark genes of a cell line."""

from sclong_tasks.chemical_perturbation.task import ChemicalPerturbation

task = ChemicalPerturbation()

__all__ = ["ChemicalPerturbation", "task"]
