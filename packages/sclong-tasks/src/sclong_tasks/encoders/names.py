"""Encoders beside scLong by name: the one place that lists them, which imports none of them.

Another package adds a model that is read from files by an entry point of the group
``sclong.published_models`` that gives a mapping like ``PUBLISHED``, and any other encoder by an
entry point of the group ``sclong.models``: see :mod:`.functions` for what it names.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from sclong_core.errors import ConfigError

GROUP, FUNCTIONS = "sclong.published_models", "sclong.models"
PUBLISHED: Mapping[str, str] = {
    "scgpt": "sclong_tasks.encoders.scgpt:ScGpt",
    "geneformer": "sclong_tasks.encoders.geneformer:Geneformer",
    "uce": "sclong_tasks.encoders.uce:Uce",
    "scfoundation": "sclong_tasks.encoders.scfoundation:ScFoundation",
    "genecompass": "sclong_tasks.encoders.genecompass:GeneCompass",
}
"""Class of each model, imported when it is asked for."""


@cache
def published_models() -> dict[str, str]:
    """Classes of all models by name, those of other packages too.

    Raises:
        ConfigError: two packages offer one name.
    """
    found = dict(PUBLISHED)
    for entry in entry_points(group=GROUP):
        for name, target in entry.load().items():
            if found.setdefault(name, target) != target:
                raise ConfigError(f"two installed packages offer an encoder {name!r}")
    return found


@cache
def installed_functions() -> dict[str, EntryPoint]:
    """Encoders that other packages install as functions, by name; none of them is loaded.

    Raises:
        ConfigError: two packages offer one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=FUNCTIONS):
        if entry.name in found or entry.name in published_models():
            raise ConfigError(f"two installed packages offer an encoder {entry.name!r}")
        found[entry.name] = entry
    return found
