"""Demonstration, comparison and reports for scLong."""

from importlib.metadata import version

__version__ = version("sclong-bench")

__all__ = ["__version__"]
