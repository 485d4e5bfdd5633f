"""Demonstration, comparison and reports for scLong.

The names below are loaded on first use, so that ``import sclong_bench`` stays fast.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sclong_bench.results.reading import read_results as read_results
    from sclong_bench.statistics.comparison import compare as compare

__version__ = version("sclong-bench")

_MODULES = {"compare": "statistics.comparison", "read_results": "results.reading"}

__all__ = ["__version__", "compare", "read_results"]


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Names for completion in a notebook, loaded or not."""
    return sorted({*globals(), *__all__})
