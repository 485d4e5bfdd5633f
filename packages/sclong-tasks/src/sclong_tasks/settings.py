"""Settings of tasks and models: dataclasses with the defaults of a protocol, changed by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sclong_core.errors import ConfigError
from sclong_core.settings import load_settings, refuse_lookups
from sclong_tasks.task import ProtocolName


def defaults(kind: type, protocol: ProtocolName) -> Any:
    """An instance with the defaults of a protocol."""
    chosen = getattr(kind, "for_protocol", None)
    return kind() if chosen is None else chosen(protocol)


def resolve(kind: type, protocol: ProtocolName, changes: Mapping[str, Any], where: str) -> Any:
    """Defaults of a protocol with changes, typed and checked.

    Args:
        kind: the dataclass.
        protocol: whose defaults.
        changes: by name, nested as the dataclass is.
        where: for the message: "task" or "model".

    Raises:
        ConfigError: an unknown name, a value of another type, or settings that contradict.
    """
    try:
        refuse_lookups(changes, where)
        base = OmegaConf.structured(defaults(kind, protocol))
        merged = OmegaConf.merge(base, OmegaConf.create(dict(changes)))
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        key = getattr(error, "full_key", None)
        place = f"{where}.{key}" if key else where
        raise ConfigError(f"setting {place}: {reason}") from error


def read_changes(
    path: Path | None, settings: Sequence[str], models: Sequence[str] = ()
) -> dict[str, Any]:
    """Changes from a YAML file and from ``name=value`` words, which win.

    Args:
        path: of the file.
        settings: the words.
        models: names of models; settings below one of them are for that model alone.

    Raises:
        ConfigError: the file is not a mapping of "task", "model" and models, or a word has no "=".
    """
    words = [_word(one) for one in settings]
    refuse_lookups(words, "a setting")
    try:
        loaded = load_settings(path) if path is not None else OmegaConf.create({})
        if not isinstance(loaded, DictConfig):
            raise ConfigError(f'{path} must hold a mapping with "task" and "model"')
        changes = OmegaConf.to_container(
            OmegaConf.merge(loaded, OmegaConf.from_dotlist(words)), resolve=True
        )
    except (OSError, OmegaConfBaseException, YAMLError, UnicodeError, RecursionError) as error:
        raise ConfigError(f"{path or 'settings'}: {' '.join(str(error).split())}") from error
    assert isinstance(changes, dict)
    check_parts(changes, models)
    return {str(key): value for key, value in changes.items()}


def check_parts(changes: Mapping[Any, Any], models: Sequence[str]) -> None:
    """Refuse settings that belong neither to the task nor to a model.

    Raises:
        ConfigError: names the first.
    """
    unknown = sorted(str(key) for key in set(changes) - {"task", "model", *models})
    if unknown:
        raise ConfigError(
            f'setting {unknown[0]}: settings begin with "task.", "model." (all models) or the name '
            "of a model that is run, for example model.training.epochs=10"
        )


def as_plain(settings: Any) -> dict[str, Any]:
    """A dataclass as nested dictionaries of plain values."""
    plain = OmegaConf.to_container(OmegaConf.structured(settings), enum_to_str=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _word(word: str) -> str:
    if "=" not in word:
        raise ConfigError(f"{word!r} is not a setting; expected name=value")
    return word
