"""Published models by name: the one place that lists them.

Another package adds its own by an entry point of the group ``sclong.published_models`` that gives a
mapping like ``PUBLISHED``.
"""

import logging
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from sclong_core.errors import CheckpointError, ConfigError
from sclong_tasks.encoders.published import PublishedEncoder
from sclong_tasks.encoders.published_model import PublishedModel

_LOG = logging.getLogger("sclong")
GROUP = "sclong.published_models"
_RUNNING = ("batch_size", "device", "dtype", "cache", "rename")
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
    """Classes of all models by name, those of other packages too."""
    found = dict(PUBLISHED)
    for entry in entry_points(group=GROUP):
        for name, target in entry.load().items():
            if found.setdefault(name, target) != target:
                raise ConfigError(f"two installed packages offer an encoder {name!r}")
    return found


def model_class(name: str) -> type[PublishedModel]:
    """The class of a model.

    Raises:
        ConfigError: there is no such model.
    """
    models = published_models()
    if name not in models:
        raise ConfigError(f"there is no published encoder {name!r}: choose {', '.join(models)}")
    module, _, attribute = models[name].partition(":")
    return getattr(import_module(module), attribute)  # type: ignore[no-any-return]


def get_encoder(name: str, folder: str | Path, **options: Any) -> PublishedEncoder:
    """A published model from its authors' own files.

    Args:
        name: of the model.
        folder: that holds its files, as they are published.
        **options: how it runs (``batch_size``, ``device``, ``dtype``, ``cache``, ``rename``; see
            :class:`.published.PublishedEncoder`), and those of the model (its ``Options``).

    Returns:
        An encoder whose ``embed(adata)`` gives ``(cells, width)`` float32.

    Raises:
        CheckpointError: the files are not those of this model.
        ConfigError: there is no such model or option.
    """
    chosen = model_class(name)
    running = {key: options.pop(key) for key in _RUNNING if key in options}
    place = Path(folder)
    if not place.is_dir():
        raise CheckpointError(
            f"{place} is not a folder: give the one that holds the files of {chosen.card.title}"
        )
    if not chosen.recognise(place):
        other = recognise(place)
        title = chosen.card.title
        kind = f"they are of {model_class(other).card.title}" if other else "see docs/encoders.md"
        raise CheckpointError(f"{place} does not hold the files of {title}: {kind}")
    model = chosen.read(place, chosen.Options.parse(options, name))
    if chosen.card.notice:
        _LOG.warning("%s: %s", chosen.card.title, chosen.card.notice)
    return PublishedEncoder(model, **running)


def recognise(folder: Path) -> str:
    """Name of the published model whose files a folder holds, empty if it is none."""
    found = (name for name in published_models() if model_class(name).recognise(folder))
    return next(found, "")
