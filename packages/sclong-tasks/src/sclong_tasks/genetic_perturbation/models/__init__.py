"""Models of genetic perturbation, each chosen by name in the task."""
