"""Genetic interactions: does a pair of perturbations do more, less or other than its parts?"""

from sclong_tasks.genetic_interactions.task import GeneticInteractions

task = GeneticInteractions()

__all__ = ["GeneticInteractions", "task"]
