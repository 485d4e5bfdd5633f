"""Drugs: checked molecules, their graphs and fingerprints."""
