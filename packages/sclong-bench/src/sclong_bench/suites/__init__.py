"""Suites of runs: what to run, what is there already, and running what is missing."""
