"""Models of chemical perturbation, a file a kind."""
