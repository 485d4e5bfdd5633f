"""Corpora for scLong.

The names below are loaded on first use, so that ``import sclong_data`` stays fast.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sclong_data.corpus.corpus import CellCorpus as CellCorpus
    from sclong_data.harmoniser.run import harmonise as harmonise

__version__ = version("sclong-data")

_MODULES = {
    "CellCorpus": "corpus.corpus",
    "harmonise": "harmoniser.run",
}

__all__ = [
    "CellCorpus",
    "__version__",
    "harmonise",
]


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
