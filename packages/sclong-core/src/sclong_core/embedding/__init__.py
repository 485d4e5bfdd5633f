"""Embedding of cells: pooling, inference, attention, and the files that it writes."""
