"""Batches of a corpus for training: order, splits, weights, workers, and a Lightning module."""
