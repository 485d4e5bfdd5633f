"""Corpora for scLong."""

from importlib.metadata import version

__version__ = version("sclong-data")

__all__ = ["__version__"]
