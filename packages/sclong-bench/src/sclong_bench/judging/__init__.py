"""Judging vectors of cells on data sets that a model never saw, beside what is simpler."""
