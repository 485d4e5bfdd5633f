"""Models of gene regulatory networks."""
