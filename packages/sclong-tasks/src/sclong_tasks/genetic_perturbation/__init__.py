"""Genetic perturbation after GEARS: mean expression of cells in which genes were perturbed."""

from sclong_tasks.genetic_perturbation.task import GeneticPerturbation

task = GeneticPerturbation()

__all__ = ["GeneticPerturbation", "task"]
