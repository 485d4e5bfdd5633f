"""Genes: the names they go by, and the vocabulary of a model."""
