"""Metrics as pure functions of arrays; one that is not defined is NaN, never a number made up."""
