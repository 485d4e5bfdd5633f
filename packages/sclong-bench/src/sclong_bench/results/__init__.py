"""Results: tidy rows, one a metric of a run, read from wherever they are and checked."""
