"""Published models made from their files, by the names of :mod:`sclong_tasks.encoders.names`."""

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from sclong_core.errors import CheckpointError, ConfigError
from sclong_tasks.encoders.names import PUBLISHED, published_models
from sclong_tasks.encoders.published import PublishedEncoder
from sclong_tasks.encoders.published_model import PublishedModel

__all__ = ["PUBLISHED", "get_encoder", "model_class", "published_models", "recognise"]
_LOG = logging.getLogger("sclong")
_WEIGHTS = frozenset({".pt", ".bin", ".safetensors", ".ckpt", ".torch"})
_RUNNING = ("batch_size", "device", "dtype", "cache", "rename")


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
            f"{place} is not a folder, and nothing is downloaded: give the folder that holds the "
            f"files of {chosen.card.title}"
        )
    place = _model_folder(place, chosen)
    if not chosen.recognise(place):
        other = recognise(place)
        title = chosen.card.title
        kind = f"they are of {model_class(other).card.title}" if other else "see docs/encoders.md"
        raise CheckpointError(f"{place} does not hold the files of {title}: {kind}")
    model = chosen.read(place, chosen.Options.parse(options, name))
    if chosen.card.notice:
        _LOG.warning("%s: %s", chosen.card.title, chosen.card.notice)
    return PublishedEncoder(model, **running)


def _model_folder(folder: Path, model: type[PublishedModel]) -> Path:
    """The folder of the model itself, where one above it is given.

    Files of two models are never put together: each is read from its own folder.

    Raises:
        CheckpointError: several folders below hold such a model.
    """
    if _holds_weights(folder):
        return folder
    below = [path for pattern in ("*/", "*/*/") for path in sorted(folder.glob(pattern))]
    found = [path for path in below if path.is_dir() and model.recognise(path)]
    found = [path for path in found if not any(other in path.parents for other in found)]
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found)
        raise CheckpointError(
            f"{folder} holds several models of {model.card.title} ({names}): give the folder of one"
        )
    return found[0] if found else folder


def recognise(folder: Path) -> str:
    """Name of the published model whose files a folder holds, empty if it is none.

    Raises:
        CheckpointError: folders below hold several models.
    """
    models = {name: model_class(name) for name in published_models()}
    places = {
        name: _model_folder(folder, model)
        for name, model in models.items()
        if model.recognise(folder)
    }
    places = {name: place for name, place in places.items() if place != folder} or places
    if len(set(places.values())) > 1:
        listed = ", ".join(
            f"{models[name].card.title} in {place.relative_to(folder)}"
            for name, place in places.items()
        )
        raise CheckpointError(f"{folder} holds several models ({listed}): give the folder of one")
    return next(iter(places), "")


def _holds_weights(folder: Path) -> bool:
    return any(path.suffix in _WEIGHTS for path in folder.iterdir())
