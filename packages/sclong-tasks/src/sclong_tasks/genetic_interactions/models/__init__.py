"""Models of genetic interactions."""
