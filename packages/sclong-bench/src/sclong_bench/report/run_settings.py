"""What a run was told beside its task and model: settings that are not the defaults."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sclong_core.errors import ScLongError
from sclong_tasks.models import FUNCTION, function_model
from sclong_tasks.registry import class_of, get_model, get_task
from sclong_tasks.run import CONFIG_FILE
from sclong_tasks.settings import as_plain, defaults

_OF_FUNCTIONS = ("encoder.name", "encoder.path", "encoder.options")
_REFUSED = (yaml.YAMLError, OmegaConfBaseException, ScLongError)


def settings_words(folder: Path | None) -> tuple[str, ...]:
    """Settings of a run as ``sclong task run --set`` takes them; none where nothing is recorded.

    Args:
        folder: of the run.
    """
    try:
        config = _config(folder)
        task, base = get_task(config["task"]), _base(config)
        model = class_of(function_model(task)) if base == FUNCTION else get_model(task, base)
        kinds = {"task": task.Settings, "model": model.Options}
        return tuple(
            f"{part}.{name}={_written(value)}"
            for part, kind in kinds.items()
            for name, value in _changed(
                config["settings"][part], as_plain(defaults(kind, config["protocol"]))
            )
            if base != FUNCTION or not name.startswith(_OF_FUNCTIONS)
        )
    except (OSError, ValueError, KeyError, TypeError, *_REFUSED):
        return ()  # of another version, or damaged: the digest in the table still tells runs apart


def model_word(folder: Path | None) -> str:
    """What ``sclong task run --model`` takes for a run whose name ``--name`` gave; else nothing.

    Args:
        folder: of the run.
    """
    try:
        config = _config(folder)
        if _base(config) == FUNCTION:
            return str(config["settings"]["model"]["encoder"]["path"])
        return str(config.get("base", ""))
    except (OSError, ValueError, KeyError, TypeError, *_REFUSED):
        return ""


def _config(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        raise KeyError(CONFIG_FILE)
    return dict(yaml.safe_load((folder / CONFIG_FILE).read_text(encoding="utf-8")))


def _base(config: Mapping[str, Any]) -> str:
    return str(config.get("base") or config["model"])


def _changed(given: Mapping[str, Any], usual: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names with dots, and values."""
    for name, value in given.items():
        other = usual.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping) and other:
            for inner, changed in _changed(value, other):
                yield f"{name}.{inner}", changed
        elif value != other:
            yield name, value


def _written(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, str) and OmegaConf.from_dotlist([f"x={value}"]).x == value:
        return value
    return json.dumps(value)
