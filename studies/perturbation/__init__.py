"""Genes deleted in silico beside real knockouts."""
