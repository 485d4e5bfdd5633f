"""Distillation: a small, fast student learns the vectors of cells from a teacher."""
