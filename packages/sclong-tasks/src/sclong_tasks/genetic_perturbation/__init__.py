"""Genetic perturbation after GEARS: mean expression of cells in which genes were perturbed."""
