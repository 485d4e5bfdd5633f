"""Fine-tuning of scLong."""

from importlib.metadata import version

__version__ = version("sclong-tasks")

__all__ = ["__version__"]
