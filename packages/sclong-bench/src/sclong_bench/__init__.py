"""Demonstration, comparison and reports for scLong.

The names below are loaded on first use, so that ``import sclong_bench`` stays fast.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from sclong_core.lazy import lazy_names

if TYPE_CHECKING:
    from sclong_bench.results.reading import read_results as read_results
    from sclong_bench.statistics.comparison import compare as compare

__version__ = version("sclong-bench")

_MODULES = {"compare": "statistics.comparison", "read_results": "results.reading"}

__all__ = ["__version__", "compare", "read_results"]

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
